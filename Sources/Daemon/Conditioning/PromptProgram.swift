import Encoders
import Guidance
import JSON

/// One prompt for one text encoder: the rows of tokens to run, and how to put together what comes
/// out.
struct PromptProgram: Sendable {
    /// A row of tokens, as long as the tower's context.
    struct Row: Sendable, Hashable {
        let tokens: [Int32]
        /// The position that is pooled.
        let endIndex: Int

        init(_ chunk: TokenChunk) {
            tokens = chunk.tokens
            endIndex = chunk.endIndex
        }
    }

    private let chunks: PromptChunks
    private let syntax: PromptSyntax
    private let emptyRow: Row
    /// Whether the empty prompt's row has to be run too.
    var needsEmpty: Bool
    /// Tokens of the result's longest part.
    let tokenCount: Int

    init(
        _ prompt: String, settings: ConditioningSettings, recipe: EncoderRecipe,
        encoder: TextEncoder
    ) throws(PromptError) {
        func chunks(_ prompt: String) throws(PromptError) -> PromptChunks {
            try PromptChunks(
                prompt, syntax: settings.syntax, tokenizer: encoder.tokenizer,
                contextLength: encoder.configuration.contextLength,
                padToken: recipe.padToken(encoder), policy: settings.longPrompts)
        }
        self.chunks = try chunks(prompt)
        syntax = settings.syntax
        emptyRow = Row((try chunks("")).rows[0])
        needsEmpty =
            syntax == .comfy && self.chunks.rows.contains { $0.weights.contains { $0 != 1 } }
        tokenCount = self.chunks.rows.count * encoder.configuration.contextLength
    }

    /// What has to be run.
    var rows: [Row] { chunks.rows.map(Row.init) + (needsEmpty ? [emptyRow] : []) }

    /// Hidden states of the empty prompt's row; empty when it was not run.
    func empty(_ encoded: [EncodedRow]) -> [Float] {
        needsEmpty ? encoded[encoded.count - 1].hidden : []
    }

    /// - Parameter encoded: one a row of `rows`.
    func combine(_ encoded: [EncodedRow]) -> PromptVectors {
        let empty = empty(encoded)
        var hidden: [Float] = []
        for (row, result) in zip(chunks.rows, encoded) {
            var states = result.hidden
            if !states.isEmpty {
                switch syntax {
                case .plain: break
                case .a1111:
                    TokenWeighting.multiplyKeepingMean(&states, weights: row.weights)
                case .comfy:
                    if needsEmpty {
                        TokenWeighting.interpolate(
                            &states, fromEmpty: empty, weights: row.weights)
                    }
                }
            }
            hidden += states
        }
        return PromptVectors(segments: [
            PromptVectors.Segment(
                untilStep: 1,
                parts: [
                    PromptVectors.Part(
                        weight: 1, tokens: tokenCount, hidden: hidden, pooled: encoded[0].pooled)
                ])
        ])
    }

    /// The token accounting.
    var report: JSONObject {
        [
            "rows": .array(
                chunks.rows.map { row in
                    [
                        "tokens": .array(row.tokens.map { .integer(Int($0)) }),
                        "weights": .array(row.weights.map { .number(Double($0)) }),
                        "content": .integer(row.contentCount),
                        "end_index": .integer(row.endIndex),
                    ]
                }),
            "dropped": [
                "tokens": .integer(chunks.droppedTokens),
                "text": .array(chunks.droppedText.map { .string($0) }),
            ],
        ]
    }

    /// A warning when something was dropped.
    var droppedTokens: Int { chunks.droppedTokens }
    var droppedText: String { chunks.droppedText.joined(separator: " ") }
}
