import Encoders
import Guidance
import IPC
import JSON

/// `score`: images against prompts.
enum ScoreOperation: Operation {
    static let name = "score"
    static let needs: TowerKinds = [.text, .image]

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
            let rows = images.embeddings.enumerated().map { index, image -> [Float] in
                let candidates = pairwise ? [texts[index]] : texts
                guard let image else { return candidates.map { _ in .nan } }
                return scoring.scores(image: image, prompts: candidates)
            }
            return Outcome(
                model: model, result: ["metric": .string(metric.rawValue)],
                outputs: [
                    try Output(
                        name: "scores",
                        shape: pairwise ? [rows.count] : [rows.count, texts.count],
                        values: rows.flatMap { $0 }, datatype: datatype)
                ],
                items: images.faults, warnings: warnings + prompts.warnings)
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
            let scores = images.embeddings.map { image in
                image.map { scoring.score(image: $0, prompt: prompt) }
            }
            let ranking = Ranking.best(scores, limit: limit)
            return Outcome(
                model: model,
                result: [
                    "ranking": .array(
                        ranking.map {
                            ["index": .integer($0.index), "score": .number(Double($0.score))]
                        }),
                    "metric": .string(metric.rawValue),
                ],
                items: images.faults, warnings: warnings + prompts.warnings)
        }
    }
}

/// `classify`: zero-shot probabilities over labels.
enum ClassifyOperation: Operation {
    static let name = "classify"
    static let needs: TowerKinds = [.text, .image]

    static func plan(_ context: inout OperationContext) throws(WireFault) -> WorkPlan {
        let datatype = try context.outputDatatype()
        let classes = try ClassSource(&context)
        let images = try ImageStage(context)
        let model = context.model
        let warnings = context.params.unknownParameterWarnings
        return WorkPlan(stages: classes.stages + images.stages) { () throws(WireFault) in
            let vectors = try classes.vectors()
            let rows = images.embeddings.map { image -> [Float] in
                guard let image else { return vectors.map { _ in .nan } }
                return ZeroShot.probabilities(
                    image: image, classVectors: vectors, logitScale: model.model.logitScale)
            }
            return Outcome(
                model: model, result: ["labels": .array(classes.labels.map { .string($0) })],
                outputs: [
                    try Output(
                        name: "probabilities", shape: [rows.count, vectors.count],
                        values: rows.flatMap { $0 }, datatype: datatype)
                ],
                items: images.faults, warnings: warnings + classes.warnings)
        }
    }
}
