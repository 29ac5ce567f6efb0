import Encoders
import Testing

/// Rows of tokens of which some positions are hidden from attention.
@Suite struct HiddenPositionsTests {
    /// Ranges at the beginning, in the middle, up to the end, and none.
    static func ranges(_ tokens: Int) -> [Range<Int>] {
        [0..<0, 1..<2, 3..<6, 1..<tokens - 1, 4..<tokens, tokens - 1..<tokens, 1..<tokens]
    }

    @Test(arguments: TextCase.all) func matchesThePlainTower(c: TextCase) throws {
        let weights = c.weights(seed: 2)
        let tower = try CLIPTextTower(configuration: c.configuration, weights: weights)
        let workspace = tower.makeWorkspace()
        let layers = c.configuration.layers
        let tokens = c.tokens(content: 6, padded: 11, seed: 3)
        for hidden in Self.ranges(tokens.count) {
            // Before, at and behind the hidden positions, the first and the last.
            for pooled in [0, 2, 4, 7, 10] {
                for states in [[layers], [0, max(layers - 1, 0)], []] {
                    let expected = ReferenceTower.embedText(
                        tokens, pooledIndex: pooled, hiding: hidden, c.configuration, weights)
                    let observed = try tower.encode(
                        [tokens], states: states, pooledAt: [pooled], hiding: [hidden],
                        workspace: workspace)[0]
                    for (state, values) in zip(states, observed.states) {
                        #expect(
                            relativeError(values, expected.states[state].flatMap { $0 }) < 1e-5,
                            "\(hidden), state \(state)")
                    }
                    #expect(
                        relativeError(try #require(observed.pooled), expected.normalized[pooled])
                            < 1e-5, "\(hidden), pooled at \(pooled)")
                    #expect(
                        relativeError(try #require(observed.embedding), expected.embedding)
                            < 1e-5, "\(hidden), pooled at \(pooled)")
                }
            }
        }
    }

    @Test(arguments: GroupTests.optionsOfAll.filter { $0.precision != .int8 })
    func neighboursDoNotChangeABit(options: ComputeOptions) throws {
        let c = TextCase.all[2]
        let tower = try c.tower(options)
        let texts = (0..<7).map { c.tokens(content: 8, padded: 77, seed: $0) }
        let hidden = Self.ranges(77)
        let pooled = [Int](repeating: 9, count: texts.count)
        let alone = tower.makeWorkspace()
        let expected = try texts.indices.map {
            try tower.encode(
                [texts[$0]], states: [1], pooledAt: [9], hiding: [hidden[$0]], workspace: alone)[0]
        }
        let group = tower.makeWorkspace(capacity: texts.count)
        for start in stride(from: 0, to: texts.count, by: group.capacity) {
            let items = start..<min(start + group.capacity, texts.count)
            let observed = try tower.encode(
                Array(texts[items]), states: [1], pooledAt: Array(pooled[items]),
                hiding: Array(hidden[items]), workspace: group)
            for (index, encoding) in zip(items, observed) {
                #expect(encoding.states == expected[index].states)
                #expect(encoding.pooled == expected[index].pooled)
                #expect(encoding.embedding == expected[index].embedding)
            }
        }
        let plain = try tower.encode([texts[0]], states: [1], pooledAt: [9], workspace: alone)[0]
        #expect(plain.states == expected[0].states && plain.pooled == expected[0].pooled)
    }

    @Test func hiddenPositionsReachNobodyElse() throws {
        let c = TextCase.all[0]
        let tower = try c.tower()
        let width = c.configuration.width
        let workspace = tower.makeWorkspace()
        func last(_ tokens: [Int32], hiding hidden: Range<Int>) throws -> [Float] {
            try tower.encode(
                [tokens], states: [c.configuration.layers], pooledAt: nil, hiding: [hidden],
                workspace: workspace)[0].states[0]
        }
        var tokens = c.tokens(content: 6, seed: 4)
        let before = try last(tokens, hiding: 2..<4)
        tokens[2] = (tokens[2] + 1) % 40
        tokens[3] = (tokens[3] + 7) % 40
        let after = try last(tokens, hiding: 2..<4)
        let open = try last(tokens, hiding: 0..<0)
        for position in tokens.indices {
            let own = position * width..<(position + 1) * width
            #expect((before[own] == after[own]) == !(2..<4).contains(position))
            #expect((after[own] == open[own]) == (position < 2))
        }
    }
}
