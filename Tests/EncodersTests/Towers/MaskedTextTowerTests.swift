import Encoders
import Testing

@Suite struct MaskedTextTowerTests {
    @Test(arguments: TextCase.all) func withoutAMaskItIsTheTextTower(c: TextCase) throws {
        let weights = c.weights(seed: 2)
        let masked = try MaskedTextTower(configuration: c.configuration, weights: weights)
        let tower = try TextTower(configuration: c.configuration, weights: weights)
        for content in [0, 3, c.configuration.contextLength - 2] {
            let tokens = c.tokens(
                content: content, padded: c.configuration.contextLength, seed: content)
            let plain = try tower.hiddenStates(tokens: tokens, workspace: tower.makeWorkspace())
            let observed = try masked.hiddenStates(tokens: tokens, hiding: [])
            #expect(observed.states.count == plain.states.count)
            for (state, other) in zip(observed.states, plain.states) {
                #expect(relativeError(state, other.map(Double.init)) < 1e-5)
            }
            #expect(relativeError(observed.normalized, plain.normalized.map(Double.init)) < 1e-5)
        }
    }

    @Test func hiddenPositionsReachNobodyElse() throws {
        let c = TextCase.all[0]
        let tower = try MaskedTextTower(configuration: c.configuration, weights: c.weights(seed: 3))
        let width = c.configuration.width
        var tokens = c.tokens(content: 6, seed: 4)
        let before = try tower.hiddenStates(tokens: tokens, hiding: [2, 3])
        tokens[2] = (tokens[2] + 1) % 40
        tokens[3] = (tokens[3] + 7) % 40
        let after = try tower.hiddenStates(tokens: tokens, hiding: [2, 3])
        let open = try tower.hiddenStates(tokens: tokens, hiding: [])
        for position in tokens.indices {
            let own = position * width..<(position + 1) * width
            let isHidden = position == 2 || position == 3
            #expect((before.normalized[own] == after.normalized[own]) == !isHidden)
            // Position 3 sees its own key alone without the mask.
            #expect((after.normalized[own] == open.normalized[own]) == (position < 2))
        }
    }

    @Test func wrongTokensAndWeightsAreRefused() throws {
        let c = TextCase.all[0]
        var weights = c.weights(seed: 3)
        let tower = try MaskedTextTower(configuration: c.configuration, weights: weights)
        for tokens in [[], [Int32(61)], [-1], [Int32](repeating: 1, count: 14)] {
            #expect(throws: EncoderError.self) {
                try tower.hiddenStates(tokens: tokens, hiding: [])
            }
        }
        weights.layers[1].fc2Bias.removeLast()
        #expect(throws: EncoderError.self) {
            try MaskedTextTower(configuration: c.configuration, weights: weights)
        }
    }

    @Test(arguments: TextCase.all) func theHeadIsTheTowersOwn(c: TextCase) throws {
        let weights = c.weights(seed: 5)
        let tower = try TextTower(configuration: c.configuration, weights: weights)
        let head = try TextHead(configuration: c.configuration, weights: weights)
        let workspace = tower.makeWorkspace()
        let tokens = c.tokens(content: 4, seed: 6)
        let all = try tower.hiddenStates(tokens: tokens, workspace: workspace)
        let last = all.states[all.states.count - 1]
        #expect(
            relativeError(head.normalized(last), all.normalized.map(Double.init)) < 1e-5)
        let width = c.configuration.width
        let row = Array(all.normalized[5 * width..<6 * width])
        let embedding = try tower.embed(tokens: tokens, workspace: workspace)
        #expect(relativeError(head.projected(row), embedding.map(Double.init)) < 1e-5)
        var wrong = weights
        wrong.finalNormBias.append(0)
        #expect(throws: EncoderError.self) {
            try TextHead(configuration: c.configuration, weights: wrong)
        }
    }
}
