import Encoders
import Guidance
import IPC
import JSON
import Prompts

/// The LoRAs of a request's pictures: those of the request, and those that the prompts of each ask
/// for. All are in force for all of a picture's prompts, the negative ones and absent ones too, as the
/// sampler's own network has one set of weights.
struct LoRAsInForce: Sendable {
    /// A text of a picture.
    struct Source {
        let program: PromptProgram
        let field: String
    }

    private let requested: [UsedLoRA]
    private let asked: [[UsedLoRA]]
    /// Names that nothing is known by, and LoRAs that change none of the encoders.
    let warnings: [String]
    /// What `result.loras` says.
    let report: JSONValue

    /// - Parameters:
    ///   - requested: the request's own.
    ///   - pictures: the texts of each picture. What an earlier text of a picture asks for counts; a
    ///     later one that names it again does not add to it.
    /// - Throws: with `strict_loras`, `bad_request` in place of each warning.
    init(
        requested: [UsedLoRA], pictures: [[Source]], encoders: PromptEncoders
    ) throws(WireFault) {
        var report: [JSONValue] = []
        var warnings: [String] = []
        let isStrict = encoders.settings.hasStrictLoRAs
        func warn(_ message: String, field: String) throws(WireFault) {
            if isStrict { throw WireFault(.badRequest, message, field: field) }
            let warning = "\(field): \(message)"
            if !warnings.contains(warning) { warnings.append(warning) }
        }
        func note(_ lora: UsedLoRA, prompt: Int?, field: String) throws(WireFault) {
            let changed = encoders.entries.indices.filter { encoders.changes($0, lora.entry) }
            var entry: JSONObject = [
                "name": .string(lora.entry.name), "strength": .number(lora.strength),
                "unet_strength": .number(lora.unetStrength),
                "encoders": .array(
                    changed.map { .string(encoders.entries[$0].tower.role.rawValue) }),
            ]
            if !lora.strengths.isEmpty {
                entry["strengths"] = .object(JSONObject(byRole: lora.strengths) { .number($0) })
            }
            if let prompt { entry["prompt"] = .integer(prompt) }
            report.append(.object(entry))
            for index in changed {
                for part in encoders.unused(index, lora.entry) {
                    let role = encoders.entries[index].tower.role.rawValue
                    try warn(
                        "the LoRA \"\(lora.entry.name)\" changes \(part), which \(role) does not "
                            + "have: left out", field: field)
                }
            }
            if changed.isEmpty {
                try warn(
                    "the LoRA \"\(lora.entry.name)\" changes no text encoder of "
                        + encoders.settings.recipe.name, field: field)
            }
        }
        for (index, lora) in requested.enumerated() {
            try note(lora, prompt: nil, field: "params.loras[\(index)]")
        }
        var asked: [[UsedLoRA]] = []
        for (number, picture) in pictures.enumerated() {
            var own: [UsedLoRA] = []
            for source in picture {
                let earlier = Set(own.map(\.entry.name))
                for wanted in source.program.loras where !earlier.contains(wanted.name) {
                    guard let entry = encoders.adapters.loras[wanted.name] else {
                        try warn(
                            "at character \(wanted.offset): expected the name of a loaded LoRA, "
                                + "found \"\(wanted.name.prefix(100))\"", field: source.field)
                        continue
                    }
                    let lora = UsedLoRA(
                        entry: entry, strength: wanted.weight, unetStrength: wanted.unetWeight)
                    own.append(lora)
                    try note(lora, prompt: number, field: source.field)
                }
            }
            asked.append(own)
        }
        self.requested = requested
        self.asked = asked
        self.warnings = warnings
        self.report = .array(report)
    }

    /// In the order in which they are added.
    func of(picture: Int) -> [UsedLoRA] { requested + asked[picture] }
}
