import Encoders
import Guidance
import IPC
import JSON

/// `tokenize`: token ids of texts, without padding.
enum TokenizeOperation: Operation {
    static let name = "tokenize"
    static let needs: TowerKinds = .text

    static func plan(_ context: inout OperationContext) throws(WireFault) -> WorkPlan {
        let texts = try context.params.requiredStrings("texts", limit: context.limits.texts)
        let overflow = try context.params.choice("long_prompts", default: Overflow.error)
        let model = context.model
        let limits = context.limits
        let (tower, tokenizer) = try TextStage.textSide(of: model)
        let slots = Slots<Result<TokenizedText, WireFault>>(count: texts.count)
        let warnings = context.params.unknownParameterWarnings
        let stage = WorkPlan.Stage(itemCount: texts.count) { item, _ in
            do throws(WireFault) {
                slots[item] = .success(
                    try TextStage.tokenize(
                        texts[item], tokenizer, tower, overflow, limits,
                        field: "params.texts[\(item)]"))
            } catch {
                slots[item] = .failure(error)
            }
        }
        return WorkPlan(stages: [stage]) { () throws(WireFault) in
            var outcome = Outcome(model: model, warnings: warnings)
            outcome.items = ImageStage.faults(slots)
            let tokenized = slots.all.map { try? $0?.get() }
            outcome.result["tokens"] = .array(
                tokenized.map { text in
                    text.map { .array($0.tokens.map { .integer(Int($0)) }) } ?? .null
                })
            outcome.result["dropped"] = .array(
                tokenized.map { text in
                    text.map {
                        ["tokens": .integer($0.droppedTokens), "text": .string($0.droppedText)]
                    } ?? .null
                })
            return outcome
        }
    }
}

/// `embed_text`: embeddings [N, D].
enum EmbedTextOperation: Operation {
    static let name = "embed_text"
    static let needs: TowerKinds = .text

    static func plan(_ context: inout OperationContext) throws(WireFault) -> WorkPlan {
        let texts = try context.params.requiredStrings("texts", limit: context.limits.texts)
        let overflow = try context.params.choice("long_prompts", default: Overflow.error)
        let normalize = try context.params.bool("normalize", default: true)
        let datatype = try context.outputDatatype()
        let stage = try TextStage(
            texts: texts, field: "texts", overflow: overflow, context: context)
        let model = context.model
        let warnings = context.params.unknownParameterWarnings
        return WorkPlan(stages: [stage.stage]) { () throws(WireFault) in
            var outcome = Outcome(model: model, warnings: warnings + stage.truncationWarnings)
            let results = stage.results
            for (index, result) in results.enumerated() {
                if case .failure(let fault) = result {
                    outcome.items.append(ItemFault(index: index, error: fault))
                }
            }
            outcome.outputs = [
                try .embeddings(
                    results.map { try? $0.get().embedding }, width: stage.tower.embeddingWidth,
                    normalize: normalize, datatype: datatype)
            ]
            return outcome
        }
    }
}

/// `embed_image`: embeddings [N, D].
enum EmbedImageOperation: Operation {
    static let name = "embed_image"
    static let needs: TowerKinds = .image

    static func plan(_ context: inout OperationContext) throws(WireFault) -> WorkPlan {
        let normalize = try context.params.bool("normalize", default: true)
        let datatype = try context.outputDatatype()
        let stage = try ImageStage(context)
        let model = context.model
        let warnings = context.params.unknownParameterWarnings
        return WorkPlan(stages: stage.stages) { () throws(WireFault) in
            return Outcome(
                model: model,
                outputs: [
                    try .embeddings(
                        stage.embeddings, width: stage.embeddingWidth, normalize: normalize,
                        datatype: datatype)
                ],
                items: stage.faults, warnings: warnings)
        }
    }
}

extension Output {
    /// `embeddings` [N, D]; items that failed are rows of NaN.
    fileprivate static func embeddings(
        _ rows: [[Float]?], width: Int, normalize: Bool, datatype: OutputDatatype
    ) throws(WireFault) -> Output {
        var values: [Float] = []
        values.reserveCapacity(rows.count * width)
        for row in rows {
            if let row {
                values += normalize ? Embedding.normalized(row) : row
            } else {
                values += repeatElement(.nan, count: width)
            }
        }
        return try Output(
            name: "embeddings", shape: [rows.count, width], values: values, datatype: datatype)
    }
}
