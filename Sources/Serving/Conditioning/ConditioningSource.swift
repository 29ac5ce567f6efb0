import Encoders
import Guidance
import IPC
import JSON
import Prompts

/// The prompts of a `condition` request and what is asked of them.
struct ConditioningSource: Sendable {
    /// What a handle stands for.
    static let fields = [
        "prompts", "prompts_2", "negative_prompts", "negative_prompts_2", "recipe",
        "negative_policy", "clip_skip", "clip_skips", "negative_clip_skip",
        "negative_clip_skips", "syntax", "emphasis", "long_prompts",
        "hidden_width", "steps", "loras", "strict_loras",
    ]
    /// Prompts of one request.
    static let promptLimit = 256

    /// Where one prompt's result is in the work, and that of the empty prompt it may be padded with.
    private struct Place {
        let prompt: Int
        let empty: Int?
    }

    let work: ConditioningWork
    private let settings: ConditioningSettings
    private let encoders: PromptEncoders
    private let loras: LoRAsInForce
    private let prompts: [Place]
    /// One a prompt, `nil` where zeros stand for an empty one; none where zeros stand for all.
    private let negatives: [Place?]
    private let hasStatedNegatives: Bool
    private let warnings: [String]

    /// - Throws: `bad_request` naming the parameter.
    init(_ context: inout OperationContext) throws(WireFault) {
        let model = context.model
        let settings = try ConditioningSettings(&context.params, fallback: model.recipes.first)
        let texts = try ConditioningTexts(&context, settings)
        let stated: NegativePolicy? = try context.params.optionalChoice("negative_policy")
        let policy = stated ?? settings.recipe.absentNegative(in: settings.syntax)
        let requested = try [UsedLoRA](&context.params, context.adapters)
        let encoders = try PromptEncoders(
            model, settings, adapters: context.adapters, variants: context.variants)
        let loras = try LoRAsInForce(
            requested: requested, pictures: texts.pictures, encoders: encoders)
        // An empty box is an absent negative prompt to A1111's SDXL.
        let takesEmptyForAbsent =
            settings.syntax == .a1111 && settings.recipe.zeroesEmptyNegativeInA1111
        var placed: [PlacedPrompt] = []
        // Rows of prompts differ in number when they may go on, and where compel's `.and()` joins.
        let padsWithEmpty =
            settings.recipe.hasHiddenStates
            && (settings.longPrompts == .chunk || settings.syntax == .compel
                || settings.syntax == .a1111)
        func place(_ prompt: PlacedPrompt, _ picture: Int) throws(WireFault) -> Place {
            placed.append(prompt)
            guard padsWithEmpty else { return Place(prompt: placed.count - 1, empty: nil) }
            placed.append(
                try texts.emptyPrompt(
                    clipSkip: prompt.clipSkip, loras: loras.of(picture: picture)))
            return Place(prompt: placed.count - 2, empty: placed.count - 1)
        }
        var prompts: [Place] = []
        var negatives: [Place?] = []
        for picture in 0..<texts.count {
            prompts.append(try place(texts.prompt(picture, loras: loras), picture))
        }
        var ignoresPolicy = stated != nil
        if texts.hasNegatives || policy == .empty {
            for picture in 0..<texts.count {
                let negative = texts.negative(picture, loras: loras)
                let isAbsent =
                    !texts.hasNegatives || takesEmptyForAbsent && negative.isEmpty
                if isAbsent { ignoresPolicy = false }
                negatives.append(
                    isAbsent && policy == .zeros ? nil : try place(negative, picture))
            }
        } else {
            ignoresPolicy = false
        }
        var warnings = loras.warnings
        if let warning = encoders.lengthWarning { warnings.append(warning) }
        if ignoresPolicy {
            warnings.append(
                "params.negative_policy: has no effect beside the negative prompts that are given")
        }
        self.settings = settings
        self.encoders = encoders
        self.loras = loras
        self.prompts = prompts
        self.negatives = negatives
        self.warnings = warnings
        hasStatedNegatives = texts.hasNegatives
        work = ConditioningWork(
            placed, encoders: encoders, cache: context.conditioningCache,
            limit: context.replyLimit)
    }

    /// What goes into the reply; after the work's stages have run.
    func prepared() throws(WireFault) -> PreparedConditioning {
        let finished = try work.finished()
        func entry(_ place: Place) -> PreparedConditioning.Entry {
            PreparedConditioning.Entry(
                prompt: finished[place.prompt], empty: place.empty.map { finished[$0] })
        }
        let prompts = prompts.map(entry)
        let negatives = negatives.map { $0.map(entry) }
        var warnings = warnings + Self.warnings(prompts, "prompts")
        if hasStatedNegatives { warnings += Self.warnings(negatives, "negative_prompts") }
        return PreparedConditioning(
            recipe: settings.recipe, prompts: prompts,
            negative: negatives.isEmpty ? .zeros : .prompts(negatives), head: head,
            warnings: warnings)
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
            "emphasis": .string(settings.emphasis.rawValue),
            "long_prompts": .string(settings.longPrompts.rawValue),
            "clip_skip": .integer(settings.clipSkip.all),
            "negative_clip_skip": .integer(settings.negativeClipSkip.all),
        ]
        for (name, skip) in [
            ("clip_skips", settings.clipSkip), ("negative_clip_skips", settings.negativeClipSkip),
        ] where !skip.own.isEmpty {
            head[name] = .object(JSONObject(byRole: skip.own) { .integer($0) })
        }
        head["encoders"] = .array(
            encoders.entries.map { found in
                var entry: JSONObject = [
                    "role": .string(found.tower.role.rawValue),
                    "width": .integer(found.encoder.sizes.width),
                    "pad_token": .integer(Int(found.recipe.padToken(found.encoder))),
                ]
                if settings.recipe.hasHiddenStates {
                    entry["hidden_state"] = .integer(found.states[settings.clipSkip] ?? 0)
                    entry["negative_hidden_state"] = .integer(
                        found.states[settings.negativeClipSkip] ?? 0)
                    entry["final_norm"] = .bool(found.recipe.normalizesHidden)
                }
                return .object(entry)
            })
        head["loras"] = loras.report
        return head
    }

    /// How much of a dropped text a warning repeats; the accounting has all of it.
    private static let quotedCharacters = 400

    private static func warnings(
        _ entries: [PreparedConditioning.Entry?], _ field: String
    ) -> [String] {
        entries.enumerated().flatMap { index, entry -> [String] in
            guard let prompt = entry?.prompt else { return [] }
            let name = "params.\(field)[\(index)]"
            var warnings = prompt.ignoredText.map { "\(name): ignored: \"\($0.prefix(100))\"" }
            warnings += prompt.notes.map { "\(name): \($0)" }
            if prompt.droppedTokens > 0 {
                let quoted = prompt.droppedText.prefix(quotedCharacters)
                let more = quoted.endIndex < prompt.droppedText.endIndex ? "…" : ""
                warnings.append(
                    "\(name): \(prompt.droppedTokens) tokens dropped: \"\(quoted)\(more)\"")
            }
            return warnings
        }
    }
}
