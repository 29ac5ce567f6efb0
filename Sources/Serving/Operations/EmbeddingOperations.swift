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

    static func replyBytes(_ facts: RequestFacts) -> Int {
        let width = facts.model.model.configuration.text?.embeddingWidth ?? 0
        return facts.count("texts") * width * facts.numberSize
    }

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
            let rows = ItemRows(
                stage.results.map { $0.map { Embedding.vector($0.embedding, normalize) } },
                datatype, named: "embeddings")
            return Outcome(
                model: model,
                outputs: [
                    try rows.output("embeddings", [stage.tower.embeddingWidth], datatype)
                ],
                items: rows.faults, warnings: warnings + stage.truncationWarnings)
        }
    }
}

/// `embed_image`: embeddings [N, D].
enum EmbedImageOperation: Operation {
    static let name = "embed_image"
    static let needs: TowerKinds = .image

    static func replyBytes(_ facts: RequestFacts) -> Int {
        let width = facts.model.imageTower?.model.configuration.vision?.embeddingWidth ?? 0
        return facts.imageCount * width * facts.numberSize
    }

    static func plan(_ context: inout OperationContext) throws(WireFault) -> WorkPlan {
        let normalize = try context.params.bool("normalize", default: true)
        let datatype = try context.outputDatatype()
        let stage = try ImageStage(context)
        let model = context.model
        let warnings = context.params.unknownParameterWarnings
        return WorkPlan(stages: stage.stages) { () throws(WireFault) in
            let rows = ItemRows(
                stage.rows { _, image in Embedding.vector(image, normalize) }, datatype,
                named: "embeddings")
            return Outcome(
                model: model,
                outputs: [try rows.output("embeddings", [stage.embeddingWidth], datatype)],
                items: rows.faults, warnings: warnings + stage.warnings)
        }
    }
}

extension Embedding {
    /// An embedding as it was asked for.
    fileprivate static func vector(_ embedding: [Float], _ normalize: Bool) -> [Float] {
        normalize ? normalized(embedding) : embedding
    }
}
