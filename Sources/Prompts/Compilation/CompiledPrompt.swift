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

    /// What is joined on the token axis; at least one.
    package internal(set) var terms: [Term] = []

    /// Texts that are added up, and how far from the empty prompt the sum goes.
    package struct Term: Sendable, Equatable {
        package var weight: Float
        package var texts: [Text]

        package var rowCount: Int { texts.map(\.chunks.count).max() ?? 0 }
    }

    package struct Text: Sendable, Equatable {
        package var factor: Float
        /// In `chunks`.
        package var chunks: Range<Int>
        package var variants: [Variant]
    }

    /// The rows of a text with something hidden, and how much they count.
    package struct Variant: Sendable, Equatable {
        package var factor: Float
        package var rows: [Int]
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
}
