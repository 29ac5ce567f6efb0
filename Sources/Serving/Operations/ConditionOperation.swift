import Encoders
import Guidance
import IPC
import JSON

/// `condition`: the vectors that a sampler is conditioned on.
enum ConditionOperation: Operation {
    static let name = "condition"
    static let needs: TowerKinds = .text

    static func plan(_ context: inout OperationContext) throws(WireFault) -> WorkPlan {
        try context.model.requireHiddenStates()
        let datatype = try context.outputDatatype()
        let sizes = try ImageSizes(&context.params)
        let hasAccounting = try context.params.bool("accounting", default: true)
        if let handle = try context.params.string("handle") {
            return try planPrepared(&context, handle, datatype, sizes, hasAccounting)
        }
        let source = try ConditioningSource(&context)
        let model = context.model
        let limit = context.replyLimit
        let warnings = context.params.unknownParameterWarnings
        return source.work.plan { () throws(WireFault) in
            let prepared = try source.prepared()
            return Outcome(
                model: model, result: source.result(prepared, hasAccounting: hasAccounting),
                outputs: try prepared.outputs(datatype, sizes, limit: limit),
                warnings: warnings + prepared.warnings)
        }
    }

    /// A handle stands for everything but the datatype and the sizes.
    private static func planPrepared(
        _ context: inout OperationContext, _ handle: String, _ datatype: OutputDatatype,
        _ sizes: ImageSizes, _ hasAccounting: Bool
    ) throws(WireFault) -> WorkPlan {
        for field in ConditioningSource.fields where context.params.has(field) {
            throw .parameter("handle", expected: "either a handle or \(field)", actual: "both")
        }
        let prepared = try context.handles.conditioning(handle, model: context.model)
        let model = context.model
        let limit = context.replyLimit
        let warnings = context.params.unknownParameterWarnings
        return WorkPlan { () throws(WireFault) in
            Outcome(
                model: model, result: prepared.result(hasAccounting: hasAccounting),
                outputs: try prepared.outputs(datatype, sizes, limit: limit),
                warnings: warnings + prepared.warnings)
        }
    }
}
