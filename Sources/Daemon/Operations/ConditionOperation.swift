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
        let warnings = context.params.unknownParameterWarnings
        return WorkPlan(stages: source.work.stages) { () throws(WireFault) in
            let prepared = try source.prepared()
            return Outcome(
                model: model, result: source.result(prepared, hasAccounting: hasAccounting),
                outputs: try prepared.outputs(datatype, sizes),
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
        let warnings = context.params.unknownParameterWarnings
        return WorkPlan { () throws(WireFault) in
            Outcome(
                model: model, result: prepared.result(hasAccounting: hasAccounting),
                outputs: try prepared.outputs(datatype, sizes),
                warnings: warnings + prepared.warnings)
        }
    }
}

/// The prompts of a `condition` request and what is asked of them.
struct ConditioningSource: Sendable {
    /// What a handle stands for.
    static let fields = [
        "prompts", "prompts_2", "negative_prompts", "negative_prompts_2", "recipe",
        "negative_policy", "clip_skip", "syntax", "long_prompts", "hidden_width", "steps", "loras",
    ]
    /// Prompts of one request.
    static let promptLimit = 256

    let work: ConditioningWork
    private let settings: ConditioningSettings
    private let encoders: PromptEncoders
    private let policy: NegativePolicy
    private let promptCount: Int
    private let negativeCount: Int
    private let hasStatedNegatives: Bool
    /// Whether the empty prompt comes last in the work, to pad others with.
    private let padsWithEmpty: Bool

    /// - Throws: `bad_request` naming the parameter.
    init(_ context: inout OperationContext) throws(WireFault) {
        let model = context.model
        let limit = min(context.limits.texts, ConditioningSource.promptLimit)
        settings = try ConditioningSettings(&context.params, fallback: model.recipes.first)
        let prompts = try context.params.requiredStrings("prompts", limit: limit)
        let count = prompts.count
        let second = try ConditioningSource.second(
            "prompts_2", count, settings.recipe, &context.params, limit)
        let stated = try context.params.strings("negative_prompts", limit: limit)
        let statedSecond = try ConditioningSource.second(
            "negative_prompts_2", count, settings.recipe, &context.params, limit)
        policy = try context.params.choice(
            "negative_policy", default: settings.recipe.absentNegative)
        if let stated, stated.count != 1, stated.count != count {
            throw .parameter(
                "negative_prompts", expected: "1 or \(count), one a prompt",
                actual: "\(stated.count)")
        }
        if stated == nil, statedSecond != nil {
            throw .parameter(
                "negative_prompts", expected: "negative prompts beside negative_prompts_2",
                actual: "nothing")
        }
        encoders = try PromptEncoders(
            model, settings, loras: try [UsedLoRA](&context.params, context.adapters),
            adapters: context.adapters, variants: context.variants)
        let knowsNegatives = settings.syntax == .a1111
        let textBytes = context.limits.textBytes
        func place(
            _ texts: [String], _ second: [String]?, _ field: String, isNegative: Bool
        ) throws(WireFault) -> [PlacedPrompt] {
            var placed: [PlacedPrompt] = []
            for index in 0..<count {
                let own = texts.count == 1 ? 0 : index
                let other = second.map { $0.count == 1 ? 0 : index }
                let text = PromptText(
                    text: texts[own],
                    second: other.flatMap { place in second.map { $0[place] } },
                    isNegative: isNegative)
                let prompt = PlacedPrompt(
                    prompt: text, field: "params.\(field)[\(own)]",
                    secondField: "params.\(field)_2[\(other ?? 0)]")
                for (value, name) in [
                    (text.text, prompt.field), (text.second ?? "", prompt.secondField),
                ] where value.utf8.count > textBytes {
                    throw WireFault(
                        .tooLarge,
                        "expected at most \(textBytes) bytes of text, found \(value.utf8.count)",
                        field: name)
                }
                placed.append(prompt)
            }
            return placed
        }
        var placed = try place(prompts, second, "prompts", isNegative: false)
        promptCount = count
        hasStatedNegatives = stated != nil
        if stated != nil || policy == .empty {
            let negatives = stated ?? [""]
            placed += try place(
                negatives, statedSecond, "negative_prompts", isNegative: knowsNegatives)
            negativeCount = count
        } else {
            negativeCount = 0
        }
        // Rows of prompts differ in number when they may go on, and where compel's `.and()` joins.
        padsWithEmpty =
            settings.recipe.hasHiddenStates
            && (settings.longPrompts == .chunk || settings.syntax == .compel
                || settings.syntax == .a1111)
        if padsWithEmpty {
            placed += try place([""], nil, "prompts", isNegative: knowsNegatives).prefix(1)
        }
        work = try ConditioningWork(
            placed, encoders: encoders, cache: context.conditioningCache)
    }

    /// Texts for the recipe's second encoder.
    private static func second(
        _ field: String, _ count: Int, _ recipe: ConditioningRecipe,
        _ params: inout ParameterReader, _ limit: Int
    ) throws(WireFault) -> [String]? {
        guard let texts = try params.strings(field, limit: limit) else { return nil }
        guard recipe.encoders.count > 1 else {
            throw .parameter(
                field, expected: "none: \(recipe.name) has one text encoder",
                actual: "\(texts.count) texts")
        }
        guard texts.count == 1 || texts.count == count else {
            throw .parameter(
                field, expected: "1 or \(count), one a prompt", actual: "\(texts.count)")
        }
        return texts
    }

    /// What goes into the reply; after the work's stages have run.
    func prepared() throws(WireFault) -> PreparedConditioning {
        let finished = try work.finished()
        let prompts = Array(finished[..<promptCount])
        let negatives = Array(finished[promptCount..<promptCount + negativeCount])
        return PreparedConditioning(
            recipe: settings.recipe, prompts: prompts,
            negative: negativeCount > 0 ? .prompts(negatives) : .zeros,
            empty: padsWithEmpty ? finished[finished.count - 1] : nil, head: head,
            warnings: warnings(prompts, "prompts")
                + (hasStatedNegatives ? warnings(negatives, "negative_prompts") : []))
    }

    /// The reply's result, with what this request cost.
    func result(_ prepared: PreparedConditioning, hasAccounting: Bool) -> JSONObject {
        var result = prepared.result(hasAccounting: hasAccounting)
        result["cache"] = [
            "cached": .integer(work.cachedCount), "rows": .integer(work.rowCount),
        ]
        return result
    }

    private var head: JSONObject {
        var head: JSONObject = [
            "recipe": .string(settings.recipe.name), "syntax": .string(settings.syntax.rawValue),
            "long_prompts": .string(settings.longPrompts.rawValue),
            "clip_skip": .integer(settings.clipSkip),
        ]
        head["encoders"] = .array(
            encoders.entries.map { found in
                var entry: JSONObject = [
                    "role": .string(found.tower.role.rawValue),
                    "width": .integer(found.encoder.sizes.width),
                    "pad_token": .integer(Int(found.recipe.padToken(found.encoder))),
                ]
                if settings.recipe.hasHiddenStates {
                    entry["hidden_state"] = .integer(found.state)
                    entry["final_norm"] = .bool(found.recipe.normalizesHidden)
                }
                return .object(entry)
            })
        head["loras"] = .array(
            encoders.loras.map {
                ["name": .string($0.entry.name), "strength": .number($0.strength)]
            })
        return head
    }

    /// How much of a dropped text a warning repeats; the accounting has all of it.
    private static let quotedCharacters = 400

    private func warnings(_ prompts: [FinishedPrompt], _ field: String) -> [String] {
        var warnings = prompts.enumerated().flatMap { index, prompt in
            prompt.ignoredText.map { "params.\(field)[\(index)]: ignored: \"\($0.prefix(100))\"" }
        }
        warnings += prompts.enumerated().compactMap { index, prompt in
            guard prompt.droppedTokens > 0 else { return nil }
            let quoted = prompt.droppedText.prefix(ConditioningSource.quotedCharacters)
            let more = quoted.endIndex < prompt.droppedText.endIndex ? "…" : ""
            return "params.\(field)[\(index)]: \(prompt.droppedTokens) tokens dropped: "
                + "\"\(quoted)\(more)\""
        }
        return warnings
    }
}
