import Encoders
import Guidance
import IPC
import JSON

/// `score`: images against prompts.
enum ScoreOperation: Operation {
    static let name = "score"
    static let needs: TowerKinds = [.text, .image]

    static func replyBytes(_ facts: RequestFacts) -> Int {
        let isPairwise = facts.params["pairwise"]?.boolValue ?? false
        return facts.imageCount * (isPairwise ? 1 : facts.count("prompts")) * facts.numberSize
    }

    static func plan(_ context: inout OperationContext) throws(WireFault) -> WorkPlan {
        let metric = try context.params.choice("metric", default: Metric.cosine)
        let pairwise = try context.params.bool("pairwise", default: false)
        let datatype = try context.outputDatatype()
        let prompts = try PromptSource(&context, field: "prompts", metric: metric)
        let images = try ImageStage(context)
        if pairwise, prompts.count != images.count {
            throw .parameter(
                "prompts", expected: "\(images.count) prompts, one an image, with pairwise",
                actual: "\(prompts.count)")
        }
        let model = context.model
        let warnings = context.params.unknownParameterWarnings
        let scoring = Scoring(metric: metric, logitScale: model.model.logitScale)
        return WorkPlan(stages: prompts.stages + images.stages) { () throws(WireFault) in
            let texts = try prompts.embeddings()
            let rows = ItemRows(
                images.rows { index, image in
                    scoring.scores(image: image, prompts: pairwise ? [texts[index]] : texts)
                }, datatype, named: "scores")
            return Outcome(
                model: model, result: ["metric": .string(metric.rawValue)],
                outputs: [try rows.output("scores", pairwise ? [] : [texts.count], datatype)],
                items: rows.faults, warnings: warnings + prompts.warnings + images.warnings)
        }
    }
}

/// `rank`: images by their score for one prompt.
enum RankOperation: Operation {
    static let name = "rank"
    static let needs: TowerKinds = [.text, .image]

    static func plan(_ context: inout OperationContext) throws(WireFault) -> WorkPlan {
        let metric = try context.params.choice("metric", default: Metric.cosine)
        let limit = try context.params.positiveInteger("top_k")
        let prompts = try PromptSource(&context, field: "prompt", metric: metric)
        let images = try ImageStage(context)
        let model = context.model
        let warnings = context.params.unknownParameterWarnings
        let scoring = Scoring(metric: metric, logitScale: model.model.logitScale)
        return WorkPlan(stages: prompts.stages + images.stages) { () throws(WireFault) in
            let prompt = try prompts.embeddings()[0]
            let rows = ItemRows(
                images.rows { _, image in [scoring.score(image: image, prompt: prompt)] }, .fp32,
                named: "scores")
            let ranking = Ranking.best(rows.values.map { $0?.first }, limit: limit)
            return Outcome(
                model: model,
                result: [
                    "ranking": .array(
                        ranking.map {
                            ["index": .integer($0.index), "score": .number(Double($0.score))]
                        }),
                    "metric": .string(metric.rawValue),
                ],
                items: rows.faults, warnings: warnings + prompts.warnings + images.warnings)
        }
    }
}

/// `classify`: zero-shot probabilities over labels.
enum ClassifyOperation: Operation {
    static let name = "classify"
    static let needs: TowerKinds = [.text, .image]

    static func replyBytes(_ facts: RequestFacts) -> Int {
        facts.imageCount * facts.count("labels") * facts.numberSize
    }

    static func plan(_ context: inout OperationContext) throws(WireFault) -> WorkPlan {
        let datatype = try context.outputDatatype()
        let classes = try ClassSource(&context)
        let images = try ImageStage(context)
        let model = context.model
        let warnings = context.params.unknownParameterWarnings
        return WorkPlan(stages: classes.stages + images.stages) { () throws(WireFault) in
            let vectors = try classes.vectors()
            let rows = ItemRows(
                images.rows { _, image in
                    ZeroShot.probabilities(
                        image: image, classVectors: vectors, logitScale: model.model.logitScale)
                }, datatype, named: "probabilities")
            return Outcome(
                model: model, result: ["labels": .array(classes.labels.map { .string($0) })],
                outputs: [try rows.output("probabilities", [vectors.count], datatype)],
                items: rows.faults, warnings: warnings + classes.warnings + images.warnings)
        }
    }
}
