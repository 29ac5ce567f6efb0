import Guidance
import JSON
import Prompts

/// One prompt for one text encoder: the rows of tokens to run, and how to put together what comes
/// out.
struct EncoderPrompt: Sendable {
    let compiled: CompiledPrompt
    /// Positions of a row.
    let contextLength: Int

    var rows: [TokenRow] { compiled.rows }

    /// - Parameters:
    ///   - encoded: one a row.
    ///   - wantsHidden: whether the recipe has hidden states.
    func combine(_ encoded: [EncodedRow], wantsHidden: Bool) -> PromptVectors {
        let hidden = wantsHidden ? encoded.map(\.hidden) : []
        let texts = compiled.conditionings.enumerated().map { index, conditioning in
            (
                hidden: wantsHidden ? compiled.hiddenStates(of: index, from: hidden) : [],
                tokens: conditioning.rowCount * contextLength,
                pooled: encoded[conditioning.pooledRow].pooled
            )
        }
        return PromptVectors(
            segments: compiled.segments.map { segment in
                PromptVectors.Segment(
                    untilStep: segment.untilStep ?? 1,
                    parts: segment.parts.map { part in
                        let text = texts[part.composition]
                        return PromptVectors.Part(
                            weight: part.weight, tokens: text.tokens, hidden: text.hidden,
                            pooled: text.pooled)
                    })
            })
    }

    /// The token accounting.
    var report: JSONObject {
        var report: JSONObject = [
            "texts": .array(
                compiled.conditionings.map { text in
                    [
                        "rows": .array(
                            text.chunks.map { .object(row($0)) }),
                        "dropped": [
                            "tokens": .integer(text.droppedTokens),
                            "text": .array(text.droppedText.map { .string($0) }),
                        ],
                    ]
                })
        ]
        if !compiled.ignoredText.isEmpty {
            report["ignored"] = .array(compiled.ignoredText.map { .string($0) })
        }
        return report
    }

    private func row(_ chunk: TokenChunk) -> JSONObject {
        let row = compiled.rows[chunk.row]
        var embeddings: [JSONValue] = []
        let tokens = row.entries.enumerated().map { position, entry -> JSONValue in
            switch entry {
            case .token(let token): return .integer(Int(token))
            case .embedding(let name, let vector):
                embeddings.append([
                    "position": .integer(position), "name": .string(name),
                    "vector": .integer(vector),
                ])
                return .null
            }
        }
        var object: JSONObject = [
            "tokens": .array(tokens),
            "weights": .array(
                chunk.weights.map { $0 == 1 ? .integer(1) : .number(Double($0)) }),
            "content": .integer(chunk.contentCount), "end_index": .integer(row.endIndex),
        ]
        if !embeddings.isEmpty { object["embeddings"] = .array(embeddings) }
        return object
    }

    /// Which text each stretch of steps and each part sees; `nil` for a prompt that is one text.
    var schedule: JSONValue? {
        guard compiled.segments.count > 1 || compiled.segments[0].parts.count > 1 else {
            return nil
        }
        return .array(
            compiled.segments.map { segment in
                [
                    "until_step": .integer(segment.untilStep ?? 1),
                    "parts": .array(
                        segment.parts.map {
                            [
                                "text": .integer($0.composition), "weight": .number($0.weight),
                            ]
                        }),
                ]
            })
    }
}
