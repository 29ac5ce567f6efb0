import Encoders
import Guidance
import IPC
import JSON

/// Where an operation's prompts come from: texts in the request, or a handle to prepared ones.
struct PromptSource: Sendable {
    private enum Source: Sendable {
        case texts(TextStage)
        case prepared(PreparedPrompts)
    }

    private let source: Source
    /// One weight a prompt: the request's, else the handle's, else all 1.
    let weights: [Double]
    /// Whether `weights` were stated, in the request or at `prepare`.
    let hasStatedWeights: Bool

    /// Reads `field` ("prompts", or "prompt" for a single one), `handle`, `weights` and
    /// `long_prompts`.
    ///
    /// - Throws: `bad_request` for both or neither of prompts and handle, for an unknown handle,
    ///   or for one that was prepared for something else.
    init(
        _ context: inout OperationContext, field: String, metric: Metric,
        readsWeights: Bool = false
    ) throws(WireFault) {
        let handle = try context.params.string("handle")
        let overflow = try context.params.choice("long_prompts", default: Overflow.error)
        let stated =
            readsWeights
            ? try context.params.numbers("weights", limit: context.limits.texts) : nil
        let count: Int
        if let handle {
            if context.params.has(field) {
                throw .parameter(
                    "handle", expected: "either a handle or \(field)", actual: "both")
            }
            let prepared = try context.handles.prompts(handle, model: context.model)
            if prepared.textPrefix != metric.text(for: "") {
                throw .parameter(
                    "handle", expected: "one prepared with metric \"\(metric.rawValue)\"",
                    actual: "one prepared with metric \"\(prepared.metric.rawValue)\"")
            }
            if field == "prompt", prepared.embeddings.count != 1 {
                throw .parameter(
                    "handle", expected: "one prompt", actual: "\(prepared.embeddings.count)")
            }
            source = .prepared(prepared)
            count = prepared.embeddings.count
            weights = stated ?? prepared.weights ?? Array(repeating: 1, count: count)
            hasStatedWeights = stated != nil || prepared.weights != nil
        } else {
            let prompts: [String] =
                field == "prompt"
                ? [try context.params.requiredString("prompt")]
                : try context.params.requiredStrings(field, limit: context.limits.texts)
            source = .texts(
                try TextStage(
                    texts: prompts.map(metric.text(for:)), field: field, overflow: overflow,
                    context: context))
            count = prompts.count
            weights = stated ?? Array(repeating: 1, count: count)
            hasStatedWeights = stated != nil
        }
        if readsWeights {
            do throws(GuidanceError) {
                try PromptObjective.checkWeights(weights, promptCount: count)
            } catch {
                throw WireFault(error)
            }
        }
    }

    var count: Int {
        switch source {
        case .texts(let stage): stage.texts.count
        case .prepared(let prepared): prepared.embeddings.count
        }
    }

    /// The work that has to run before `embeddings()`; none for a handle.
    var stages: [WorkPlan.Stage] {
        if case .texts(let stage) = source { [stage.stage] } else { [] }
    }

    /// Text embeddings [P][D], not normalised.
    func embeddings() throws(WireFault) -> [[Float]] {
        switch source {
        case .texts(let stage): try stage.embeddings()
        case .prepared(let prepared): prepared.embeddings
        }
    }

    var warnings: [String] {
        if case .texts(let stage) = source { stage.truncationWarnings } else { [] }
    }
}

/// Where `classify` gets its class vectors from: labels in the request, or a handle.
struct ClassSource: Sendable {
    private enum Source: Sendable {
        case texts(ZeroShot, TextStage)
        case prepared(PreparedClasses)
    }

    private let source: Source

    init(_ context: inout OperationContext) throws(WireFault) {
        let handle = try context.params.string("handle")
        let overflow = try context.params.choice("long_prompts", default: Overflow.error)
        if let handle {
            if context.params.has("labels") {
                throw .parameter("handle", expected: "either a handle or labels", actual: "both")
            }
            source = .prepared(try context.handles.classes(handle, model: context.model))
            return
        }
        let limit = context.limits.texts
        let labels = try context.params.requiredStrings("labels", limit: limit)
        let templates =
            try context.params.strings("templates", limit: limit) ?? ZeroShot.defaultTemplates
        if labels.count * templates.count > limit {
            throw WireFault(
                .tooLarge,
                "expected at most \(limit) labels × templates, "
                    + "found \(labels.count * templates.count)",
                field: "params.labels")
        }
        let zeroShot: ZeroShot
        do throws(GuidanceError) {
            zeroShot = try ZeroShot(labels: labels, templates: templates)
        } catch {
            throw WireFault(error)
        }
        source = .texts(
            zeroShot,
            try TextStage(
                texts: zeroShot.texts, field: "labels", overflow: overflow, context: context,
                textsPerEntry: templates.count))
    }

    var labels: [String] {
        switch source {
        case .texts(let zeroShot, _): zeroShot.labels
        case .prepared(let prepared): prepared.labels
        }
    }

    var stages: [WorkPlan.Stage] {
        if case .texts(_, let stage) = source { [stage.stage] } else { [] }
    }

    /// Unit class vectors [L][D].
    func vectors() throws(WireFault) -> [[Float]] {
        switch source {
        case .texts(let zeroShot, let stage):
            let embeddings = try stage.embeddings()
            do throws(GuidanceError) {
                return try zeroShot.classVectors(embeddings)
            } catch {
                throw WireFault(error)
            }
        case .prepared(let prepared): return prepared.vectors
        }
    }

    var warnings: [String] {
        if case .texts(_, let stage) = source { stage.truncationWarnings } else { [] }
    }
}
