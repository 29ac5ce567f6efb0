import Guidance
import IPC
import JSON

/// `prepare`: encodes prompts (or labels) once and returns a handle to them.
enum PrepareOperation: Operation {
    static let name = "prepare"
    static let needs: TowerKinds = .text

    static func plan(_ context: inout OperationContext) throws(WireFault) -> WorkPlan {
        if context.params.has("recipe") { return try planConditioning(&context) }
        return context.params.has("labels")
            ? try planClasses(&context) : try planPrompts(&context)
    }

    private static func planConditioning(
        _ context: inout OperationContext
    ) throws(WireFault) -> WorkPlan {
        try context.model.requireHiddenStates()
        let hasAccounting = try context.params.bool("accounting", default: true)
        let source = try ConditioningSource(&context)
        let handles = context.handles
        let model = context.model
        let warnings = context.params.unknownParameterWarnings
        return source.work.plan { () throws(WireFault) in
            let prepared = try source.prepared()
            var result = source.result(prepared, hasAccounting: hasAccounting)
            result["handle"] = .string(
                try handles.insert(.conditioning(prepared), model: model))
            return Outcome(model: model, result: result, warnings: warnings + prepared.warnings)
        }
    }

    private static func planPrompts(
        _ context: inout OperationContext
    ) throws(WireFault) -> WorkPlan {
        let metric = try context.params.choice("metric", default: Metric.cosine)
        let field = context.params.has("prompt") ? "prompt" : "prompts"
        let prompts = try PromptSource(
            &context, field: field, metric: metric, readsWeights: field == "prompts")
        let handles = context.handles
        let model = context.model
        let warnings = context.params.unknownParameterWarnings
        return WorkPlan(stages: prompts.stages) { () throws(WireFault) in
            let handle = try handles.insert(
                .prompts(
                    PreparedPrompts(
                        embeddings: try prompts.embeddings(),
                        weights: prompts.hasStatedWeights ? prompts.weights : nil,
                        metric: metric)),
                model: model)
            return Outcome(
                model: model,
                result: ["handle": .string(handle), "prompts": .integer(prompts.count)],
                warnings: warnings + prompts.warnings)
        }
    }

    private static func planClasses(
        _ context: inout OperationContext
    ) throws(WireFault) -> WorkPlan {
        let classes = try ClassSource(&context)
        let handles = context.handles
        let model = context.model
        let warnings = context.params.unknownParameterWarnings
        return WorkPlan(stages: classes.stages) { () throws(WireFault) in
            let handle = try handles.insert(
                .classes(
                    PreparedClasses(labels: classes.labels, vectors: try classes.vectors())),
                model: model)
            return Outcome(
                model: model,
                result: ["handle": .string(handle), "labels": .integer(classes.labels.count)],
                warnings: warnings + classes.warnings)
        }
    }
}
