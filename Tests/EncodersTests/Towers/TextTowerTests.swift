import Encoders
import Testing

@Suite struct TextTowerTests {
    @Test(arguments: TextCase.all) func matchesThePlainTower(c: TextCase) throws {
        let weights = c.weights(seed: 2)
        let tower = try CLIPTextTower(configuration: c.configuration, weights: weights)
        let workspace = tower.makeWorkspace()
        for content in [0, 1, 4, c.configuration.contextLength - 2] {
            let tokens = c.tokens(
                content: content, padded: c.configuration.contextLength, seed: content)
            let expected = ReferenceTower.embedText(
                tokens, pooledIndex: content + 1, c.configuration, weights)
            let embedding = try tower.embed(tokens: tokens, workspace: workspace)
            #expect(embedding.count == tower.embeddingWidth)
            #expect(relativeError(embedding, expected.embedding) < 1e-5)
            let hidden = try tower.hiddenStates(tokens: tokens, workspace: workspace)
            #expect(hidden.states.count == c.configuration.layers + 1)
            for (state, plain) in zip(hidden.states, expected.states) {
                #expect(relativeError(state, plain.flatMap { $0 }) < 1e-5)
            }
            #expect(relativeError(hidden.normalized, expected.normalized.flatMap { $0 }) < 1e-5)
        }
    }

    @Test(arguments: TextCase.all) func paddingDoesNotChangeABitOfTheEmbedding(c: TextCase) throws {
        let tower = try c.tower()
        let workspace = tower.makeWorkspace()
        let bare = try tower.embed(tokens: c.tokens(content: 3, seed: 7), workspace: workspace)
        for pad in [Int32(0), 5, c.configuration.endToken] {
            let tokens = c.tokens(
                content: 3, padded: c.configuration.contextLength, pad: pad, seed: 7)
            #expect(try tower.embed(tokens: tokens, workspace: workspace) == bare)
        }
    }

    @Test func poolsWhereTheConfigurationSays() throws {
        let first = try TextCase.all[0].tower()
        #expect(try first.pooledIndex([58, 3, 40, 60, 40]) == 2)
        #expect(throws: EncoderError.self) { try first.pooledIndex([58, 3, 60]) }
        let highest = try TextCase.all[1].tower()
        #expect(try highest.pooledIndex([58, 3, 60, 7, 60]) == 2)
        #expect(try highest.pooledIndex([3, 5, 4]) == 1)
    }

    @Test func threadsAndNeighboursDoNotChangeABit() async throws {
        let c = TextCase.all[2]
        let tower = try c.tower()
        let texts = (0..<8).map { c.tokens(content: 5 * $0 + 1, seed: $0) }
        let alone = try texts.map { try tower.embed(tokens: $0, workspace: tower.makeWorkspace()) }
        let shared = tower.makeWorkspace()
        for index in [7, 0, 3, 7, 1] {
            #expect(try tower.embed(tokens: texts[index], workspace: shared) == alone[index])
        }
        try await withThrowingTaskGroup(of: (Int, [Float]).self) { group in
            for round in 0..<24 {
                group.addTask {
                    let index = round % texts.count
                    return (
                        index,
                        try tower.embed(tokens: texts[index], workspace: tower.makeWorkspace())
                    )
                }
            }
            for try await (index, embedding) in group { #expect(embedding == alone[index]) }
        }
    }

    @Test func foreignTokensAreErrors() throws {
        let c = TextCase.all[0]
        let tower = try c.tower()
        let workspace = tower.makeWorkspace()
        let bad: [[Int32]] = [
            [], [58, 61, 40], [58, -1, 40], [58, .max, 40], [58, .min, 40], [58, 1, 2],
            [Int32](repeating: 40, count: c.configuration.contextLength + 1),
        ]
        for tokens in bad {
            #expect(throws: EncoderError.self) {
                try tower.embed(tokens: tokens, workspace: workspace)
            }
        }
        #expect(throws: EncoderError.self) {
            try tower.hiddenStates(tokens: [58, 61], workspace: workspace)
        }
    }

    @Test func wrongSizesAreErrorsThatNameTheTensor() {
        let c = TextCase.all[0]
        var weights = c.weights(seed: 1)
        weights.tokenEmbedding.removeLast()
        #expect {
            try CLIPTextTower(configuration: c.configuration, weights: weights)
        } throws: { error in
            (error as? EncoderError)?.description.contains("token embedding") == true
        }
        var configuration = c.configuration
        configuration.vocabularySize = .max
        #expect(throws: EncoderError.self) {
            try CLIPTextTower(configuration: configuration, weights: c.weights(seed: 1))
        }
    }
}
