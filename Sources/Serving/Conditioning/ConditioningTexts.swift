import Guidance
import IPC
import Prompts

/// The texts of a `condition` request, each read once.
struct ConditioningTexts: Sendable {
    /// The texts of one parameter: one for all pictures, or one a picture.
    private struct Texts: Sendable {
        let field: String
        let texts: [String]
        let programs: [PromptProgram]

        func index(_ picture: Int) -> Int { texts.count == 1 ? 0 : picture }
        func name(_ picture: Int) -> String { "params.\(field)[\(index(picture))]" }
    }

    /// Pictures that the request is about.
    let count: Int
    let hasNegatives: Bool
    private let settings: ConditioningSettings
    private let prompts: Texts
    private let second: Texts?
    private let negatives: Texts
    private let negativeSecond: Texts?

    /// Reads `prompts`, `prompts_2`, `negative_prompts` and `negative_prompts_2`.
    ///
    /// - Throws: `bad_request` naming the parameter, `too_large` for too long a text.
    init(
        _ context: inout OperationContext, _ settings: ConditioningSettings
    ) throws(WireFault) {
        let limit = min(context.limits.texts, ConditioningSource.promptLimit)
        let stated = try context.params.requiredStrings("prompts", limit: limit)
        let second = try Self.second(
            "prompts_2", stated.count, settings.recipe, &context.params, limit)
        let negatives = try context.params.strings("negative_prompts", limit: limit)
        let negativeSecond = try Self.second(
            "negative_prompts_2", stated.count, settings.recipe, &context.params, limit)
        if let negatives, negatives.count != 1, negatives.count != stated.count {
            throw .parameter(
                "negative_prompts", expected: "1 or \(stated.count), one a prompt",
                actual: "\(negatives.count)")
        }
        if negatives == nil, negativeSecond != nil {
            throw .parameter(
                "negative_prompts", expected: "negative prompts beside negative_prompts_2",
                actual: "nothing")
        }
        let textBytes = context.limits.textBytes
        func read(
            _ field: String, _ texts: [String], isNegative: Bool
        ) throws(WireFault) -> Texts {
            var programs: [PromptProgram] = []
            for (index, text) in texts.enumerated() {
                let name = "params.\(field)[\(index)]"
                guard text.utf8.count <= textBytes else {
                    throw WireFault(
                        .tooLarge,
                        "expected at most \(textBytes) bytes of text, found \(text.utf8.count)",
                        field: name)
                }
                programs.append(
                    try settings.program(text, field: name, isNegative: isNegative))
            }
            return Texts(field: field, texts: texts, programs: programs)
        }
        self.settings = settings
        count = stated.count
        hasNegatives = negatives != nil
        prompts = try read("prompts", stated, isNegative: false)
        self.second = try second.map { texts throws(WireFault) in
            try read("prompts_2", texts, isNegative: false)
        }
        self.negatives = try read("negative_prompts", negatives ?? [""], isNegative: true)
        self.negativeSecond = try negativeSecond.map { texts throws(WireFault) in
            try read("negative_prompts_2", texts, isNegative: true)
        }
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

    /// Every text of each picture, in the order in which LoRAs are looked for.
    var pictures: [[LoRAsInForce.Source]] {
        (0..<count).map { picture in
            [prompts, second, negatives, negativeSecond].compactMap { texts in
                texts.map {
                    LoRAsInForce.Source(
                        program: $0.programs[$0.index(picture)], field: $0.name(picture))
                }
            }
        }
    }

    func prompt(_ picture: Int, loras: LoRAsInForce) -> PlacedPrompt {
        placed(
            picture, prompts, second, isNegative: false, clipSkip: settings.clipSkip, loras)
    }

    /// The negative prompt, or the empty one in its place.
    func negative(_ picture: Int, loras: LoRAsInForce) -> PlacedPrompt {
        placed(
            picture, negatives, negativeSecond, isNegative: true,
            clipSkip: settings.negativeClipSkip, loras)
    }

    private func placed(
        _ picture: Int, _ texts: Texts, _ second: Texts?, isNegative: Bool, clipSkip: ClipSkip,
        _ loras: LoRAsInForce
    ) -> PlacedPrompt {
        PlacedPrompt(
            prompt: PromptText(
                text: texts.texts[texts.index(picture)],
                second: second.map { $0.texts[$0.index(picture)] },
                isNegative: isNegative && settings.syntax == .a1111),
            program: texts.programs[texts.index(picture)],
            secondProgram: second.map { $0.programs[$0.index(picture)] },
            loras: loras.of(picture: picture), clipSkip: clipSkip, field: texts.name(picture),
            secondField: second?.name(picture) ?? texts.name(picture))
    }

    /// What shorter prompts are padded with.
    func emptyPrompt(clipSkip: ClipSkip, loras: [UsedLoRA]) throws(WireFault) -> PlacedPrompt {
        let field = "params.prompts"
        return PlacedPrompt(
            prompt: PromptText(text: "", isNegative: settings.syntax == .a1111),
            program: try settings.program("", field: field, isNegative: true),
            secondProgram: nil, loras: loras, clipSkip: clipSkip, field: field,
            secondField: field)
    }
}
