import Encoders
import Guidance
import IPC
import JSON
import Prompts

/// What a `condition` request asks for beside its prompts.
struct ConditioningSettings: Sendable {
    let recipe: ConditioningRecipe
    let syntax: PromptSyntax
    let emphasis: Emphasis
    let longPrompts: LongPromptPolicy
    let clipSkip: ClipSkip
    /// The negative prompts' own.
    let negativeClipSkip: ClipSkip
    /// Width to which hidden states are filled up, instead of the recipe's.
    let hiddenWidth: Int?
    /// How many steps the sampler will take; `nil` when it was not said.
    let steps: Int?
    /// Whether a LoRA that a prompt names in vain is an error.
    let hasStrictLoRAs: Bool

    static let steps = 1...1000
    static let clipSkips = 0...100
    static let hiddenWidths = 1...65_536

    /// Reads `recipe`, `syntax`, `emphasis`, `long_prompts`, `clip_skip`, `negative_clip_skip`,
    /// `hidden_width`, `steps` and `strict_loras`.
    ///
    /// - Parameter fallback: the recipe when none is named.
    init(
        _ params: inout ParameterReader, fallback: ConditioningRecipe?
    ) throws(WireFault) {
        let names = ConditioningRecipe.names.map { "\"\($0)\"" }.joined(separator: ", ")
        if let name = try params.string("recipe") {
            guard let recipe = ConditioningRecipe.named(name) else {
                let hint = ImageRecipe(rawValue: name) == nil ? "" : ", which is condition_image's"
                throw .parameter(
                    "recipe", expected: "one of \(names)",
                    actual: "\"\(name.prefix(100))\"\(hint)")
            }
            self.recipe = recipe
        } else if let fallback {
            recipe = fallback
        } else {
            throw .parameter("recipe", expected: "one of \(names)", actual: "nothing")
        }
        syntax = try params.choice("syntax", default: PromptSyntax.plain)
        longPrompts = try params.choice("long_prompts", default: LongPromptPolicy.error)
        emphasis = try params.choice("emphasis", default: Emphasis.original)
        let positive = try Self.clipSkip("clip_skip", recipe, &params) ?? 0
        let ownPositive = try Self.clipSkips("clip_skips", recipe, &params) ?? [:]
        clipSkip = ClipSkip(all: positive, own: ownPositive)
        let negative = try Self.clipSkip("negative_clip_skip", recipe, &params)
        let ownNegative = try Self.clipSkips("negative_clip_skips", recipe, &params)
        negativeClipSkip = ClipSkip(
            all: negative ?? positive, own: ownNegative ?? (negative == nil ? ownPositive : [:]))
        hiddenWidth = try params.integer("hidden_width", in: ConditioningSettings.hiddenWidths)
        steps = try params.integer("steps", in: ConditioningSettings.steps)
        hasStrictLoRAs = try params.bool("strict_loras", default: false)
    }

    private static func clipSkip(
        _ field: String, _ recipe: ConditioningRecipe, _ params: inout ParameterReader
    ) throws(WireFault) -> Int? {
        guard let skip = try params.integer(field, in: clipSkips) else { return nil }
        guard skip == 0 || recipe.hasHiddenStates else {
            throw .parameter(
                params.path + field, expected: "none: \(recipe.name) has no hidden states",
                actual: "\(skip)")
        }
        return skip
    }

    private static func clipSkips(
        _ field: String, _ recipe: ConditioningRecipe, _ params: inout ParameterReader
    ) throws(WireFault) -> [EncoderRole: Int]? {
        try params.byRole(field) { reader, role throws(WireFault) in
            try clipSkip(role, recipe, &reader)
        }
    }

    /// A prompt's program.
    func program(
        _ text: String, field: String, isNegative: Bool
    ) throws(WireFault) -> PromptProgram {
        do throws(PromptError) {
            return try PromptProgram(
                text, syntax: syntax, steps: steps, isNegative: isNegative, emphasis: emphasis)
        } catch {
            throw WireFault(error, field: field)
        }
    }
}

extension ImageSizes {
    static let pixels = 1...1_000_000
    static let offsets = -1_000_000...1_000_000
    static let scores = -1000.0...1000.0

    /// Reads `width`, `height`, `crop_top`, `crop_left`, `original_width`, `original_height`,
    /// `aesthetic_score` and `negative_aesthetic_score`.
    init(_ params: inout ParameterReader) throws(WireFault) {
        let plain = ImageSizes()
        self.init(
            width: try params.integer("width", in: ImageSizes.pixels) ?? plain.width,
            height: try params.integer("height", in: ImageSizes.pixels) ?? plain.height,
            cropTop: try params.integer("crop_top", in: ImageSizes.offsets) ?? 0,
            cropLeft: try params.integer("crop_left", in: ImageSizes.offsets) ?? 0,
            originalWidth: try params.integer("original_width", in: ImageSizes.pixels),
            originalHeight: try params.integer("original_height", in: ImageSizes.pixels),
            aestheticScore: try params.number("aesthetic_score", in: ImageSizes.scores)
                ?? plain.aestheticScore,
            negativeAestheticScore: try params.number(
                "negative_aesthetic_score", in: ImageSizes.scores) ?? plain.negativeAestheticScore)
    }
}

extension [UsedLoRA] {
    static let strengths = -100.0...100.0
    static let limit = 64

    /// Reads `loras`: `[{"name": …, "strength": 1, "strengths": {"clip_g": 0.5}}]`.
    ///
    /// - Throws: `bad_request` naming the entry at fault.
    init(
        _ params: inout ParameterReader, _ adapters: Adapters.Snapshot
    ) throws(WireFault) {
        self = []
        let objects = try params.objects("loras", limit: Self.limit) ?? []
        for (index, object) in objects.enumerated() {
            let field = "loras[\(index)]"
            var reader = ParameterReader(object, path: "\(field).")
            let name = try reader.requiredString("name")
            let strength = try reader.number("strength", in: Self.strengths) ?? 1
            let own = try reader.byRole("strengths") { reader, role throws(WireFault) in
                try reader.number(role, in: Self.strengths)
            }
            if let unknown = reader.unknownNames.first {
                throw .parameter(
                    field, expected: "only name, strength and strengths",
                    actual: "\"\(unknown.prefix(100))\"")
            }
            guard let entry = adapters.loras[name] else {
                let names = adapters.loras.keys.sorted().joined(separator: ", ")
                throw .parameter(
                    "\(field).name",
                    expected: names.isEmpty ? "none: no LoRA is loaded" : "one of \(names)",
                    actual: "\"\(name.prefix(100))\"")
            }
            append(
                UsedLoRA(
                    entry: entry, strength: strength, strengths: own ?? [:],
                    unetStrength: strength))
        }
    }
}

extension WireFault {
    init(_ error: PromptError, field: String) {
        let code: ErrorCode =
            switch error {
            case .tooLong: .promptTooLong
            case .tooMany: .tooLarge
            case .syntax, .contextLength, .steps, .embedding: .badRequest
            }
        self.init(code, error.description, field: field)
    }
}
