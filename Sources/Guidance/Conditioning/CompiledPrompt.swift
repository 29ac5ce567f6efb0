/// A prompt as rows of tokens for a text tower, with all that is to be done with their hidden states.
///
/// Encode each of `rows`, then let `hiddenStates(of:from:)` put together what each entry of
/// `conditionings` is; `segments` says which of them each step of the sampler sees.
public struct CompiledPrompt: Sendable, Equatable {
    /// In the order of the steps; at least one. `Part.composition` is an index in `conditionings`.
    public let segments: [PromptProgram.Segment]
    /// Each different text of the segments once; at least one.
    public private(set) var conditionings: [PromptConditioning]
    /// What is to be encoded: each different row once.
    public private(set) var rows: [TokenRow]
    /// The index of the row of an empty prompt, if weights or padding need it.
    public private(set) var emptyRow: Int?
    /// LoRAs that the text asks for: the caller applies or refuses them.
    public let loras: [PromptProgram.LoRA]
    /// Text that the dialect ignores: what follows `.and()` in compel, embeddings that ComfyUI does not
    /// find, and A1111's `<kind:…>` of other kinds than LoRAs.
    public let ignoredText: [String]
    /// Names of textual inversions that stand in the text without being used, each once.
    public let unusedNames: [UnusedName]

    private let emptyTokens: TokenRow

    init(
        program: PromptProgram, conditionings: [PromptConditioning], rows: [TokenRow],
        emptyRow: TokenRow, ignoredText: [String], unusedNames: [UnusedName], needsEmptyRow: Bool
    ) {
        segments = program.segments
        self.conditionings = conditionings
        self.rows = rows
        loras = program.loras
        self.ignoredText = program.ignoredText + ignoredText
        self.unusedNames = unusedNames
        emptyTokens = emptyRow
        self.emptyRow = nil
        if needsEmptyRow { requireEmptyRow() }
    }

    /// Rows of the longest conditioning.
    public var rowCount: Int { conditionings.map(\.rowCount).max() ?? 1 }

    /// Content entries of all texts that did not fit.
    public var droppedTokens: Int { conditionings.reduce(0) { $0 + $1.droppedTokens } }

    /// The same prompt with all conditionings at least `count` rows long: rows of an empty prompt
    /// follow. How a prompt, its negative and the prompts of other towers come to the same number of
    /// tokens.
    public func padded(toRows count: Int) -> CompiledPrompt {
        var padded = self
        for index in conditionings.indices where conditionings[index].rowCount < count {
            padded.conditionings[index].paddingRows += count - conditionings[index].rowCount
            padded.requireEmptyRow()
        }
        return padded
    }

    /// Content entries at and beyond a position of the hidden states: what is lost when only the first
    /// `tokens` are kept. Of several texts, the one that loses most.
    public func contentCount(beyond tokens: Int) -> Int {
        conditionings.map { $0.contentCount(beyond: tokens) }.max() ?? 0
    }

    /// Whether a row is that of an empty prompt, which many prompts share.
    public func isEmpty(row: Int) -> Bool { row == emptyRow || rows[row] == emptyTokens }

    private mutating func requireEmptyRow() {
        guard emptyRow == nil else { return }
        if let index = rows.firstIndex(of: emptyTokens) {
            emptyRow = index
        } else {
            emptyRow = rows.count
            rows.append(emptyTokens)
        }
    }

    /// The hidden states of a conditioning, [`rowCount` × T, D], row-major.
    ///
    /// - Parameters:
    ///   - index: in `conditionings`.
    ///   - encoded: the hidden states of each of `rows`, in that order, [T, D] each.
    public func hiddenStates(of index: Int, from encoded: [[Float]]) -> [Float] {
        precondition(encoded.count == rows.count, "hidden states of each row")
        precondition(
            encoded.allSatisfy { $0.count == encoded[0].count }, "hidden states of one shape")
        return conditionings[index].hiddenStates(
            encoded, empty: emptyRow.map { encoded[$0] } ?? [])
    }
}

/// One text of a prompt: its chunks, and how their hidden states are weighted and put together.
public struct PromptConditioning: Sendable, Equatable {
    /// The dialect, which says how weights work.
    public let syntax: PromptSyntax
    /// What becomes of them.
    public let emphasis: Emphasis
    /// The chunks of all its texts, in order, without padding; at least one.
    public internal(set) var chunks: [TokenChunk] = []
    /// The row that the pooled vector comes from, unweighted, by index in `CompiledPrompt.rows`. compel
    /// reads it from the prompt with all its syntax, cut off where it ends.
    public internal(set) var pooledRow = 0
    /// Content entries that did not fit.
    public internal(set) var droppedTokens = 0
    /// The pieces of cleaned text that did not fit, in order.
    public internal(set) var droppedText: [String] = []
    /// Rows of an empty prompt that follow.
    public internal(set) var paddingRows = 0

    var terms: [Term] = []

    /// Texts that are added up, and how far from the empty prompt the sum goes.
    struct Term: Sendable, Equatable {
        var weight: Float
        var texts: [Text]

        var rowCount: Int { texts.map(\.chunks.count).max() ?? 0 }
    }

    struct Text: Sendable, Equatable {
        var factor: Float
        /// In `chunks`.
        var chunks: Range<Int>
        var variants: [Variant]
    }

    /// The rows of a text with something hidden, and how much they count.
    struct Variant: Sendable, Equatable {
        var factor: Float
        var rows: [Int]
    }

    init(syntax: PromptSyntax, emphasis: Emphasis) {
        self.syntax = syntax
        self.emphasis = emphasis
    }

    /// Rows of hidden states, padding included.
    public var rowCount: Int { terms.reduce(paddingRows) { $0 + $1.rowCount } }

    /// Content entries at and beyond a position, over all texts of its terms.
    func contentCount(beyond tokens: Int) -> Int {
        var count = 0
        var firstRow = 0
        for term in terms {
            for text in term.texts {
                for (row, chunk) in text.chunks.enumerated() {
                    // Content lies behind the start token.
                    let first = (firstRow + row) * chunks[chunk].weights.count + 1
                    let kept = max(0, min(chunks[chunk].contentCount, tokens - first))
                    count += chunks[chunk].contentCount - kept
                }
            }
            firstRow += term.rowCount
        }
        return count
    }

    /// Whether hidden states are changed: weights other than 1, or texts of unequal length in a blend.
    var isWeighted: Bool {
        terms.contains { term in
            term.weight != 1 || term.texts.contains { $0.chunks.count < term.rowCount }
        } || chunks.contains { $0.weights.contains { $0 != 1 } }
    }

    /// - Parameter empty: hidden states of the row of an empty prompt; empty where none is needed.
    func hiddenStates(_ encoded: [[Float]], empty: [Float]) -> [Float] {
        var states: [Float] = []
        for term in terms {
            var sum: [Float] = []
            for text in term.texts {
                var part = self.states(of: text, encoded, empty)
                for _ in text.chunks.count..<term.rowCount { part += empty }
                if term.texts.count == 1, text.factor == 1 {
                    sum = part
                } else {
                    Self.add(part, times: text.factor, to: &sum)
                }
            }
            if term.weight != 1 {
                for row in 0..<term.rowCount {
                    for index in empty.indices {
                        let place = row * empty.count + index
                        sum[place] = (sum[place] - empty[index]) * term.weight + empty[index]
                    }
                }
            }
            states += sum
        }
        for _ in 0..<paddingRows { states += empty }
        return states
    }

    private func states(of text: Text, _ encoded: [[Float]], _ empty: [Float]) -> [Float] {
        let total = text.variants.reduce(Float(1)) { $0 + $1.factor }
        var states: [Float] = []
        for (number, chunk) in text.chunks.enumerated() {
            let weights = chunks[chunk].weights
            let base = weighted(encoded[chunks[chunk].row], weights, empty)
            if text.variants.isEmpty {
                states += base
                continue
            }
            var known = [chunks[chunk].row: base]
            var sum: [Float] = []
            Self.add(base, times: 1 / total, to: &sum)
            for variant in text.variants {
                let row = variant.rows[number]
                let part = known[row] ?? weighted(encoded[row], weights, empty)
                known[row] = part
                Self.add(part, times: variant.factor / total, to: &sum)
            }
            states += sum
        }
        return states
    }

    private func weighted(_ row: [Float], _ weights: [Float], _ empty: [Float]) -> [Float] {
        guard weights.contains(where: { $0 != 1 }) else { return row }
        var states = row
        switch syntax {
        case .plain: break
        case .a1111 where emphasis == .noNorm: TokenWeighting.multiply(&states, weights: weights)
        case .a1111: TokenWeighting.multiplyKeepingMean(&states, weights: weights)
        case .comfy, .compel:
            TokenWeighting.interpolate(&states, fromEmpty: empty, weights: weights)
        }
        return states
    }

    private static func add(_ part: [Float], times factor: Float, to sum: inout [Float]) {
        if sum.isEmpty { sum = [Float](repeating: 0, count: part.count) }
        for index in part.indices { sum[index] += part[index] * factor }
    }
}
