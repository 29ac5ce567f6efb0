/// Reads the name of a tensor in a LoRA file: which encoder, which of its parts, what to that part.
enum LoRANames {
    /// What a tensor is to the part that it changes.
    enum Part: Hashable {
        case down, up, alpha, magnitude
        case hadamard(HadamardPart)
        case kronecker(KroneckerPart)
        /// Differences to a matrix or a norm's weight, and to the bias beside it.
        case difference, biasDifference
        case normWeight, normBias
        /// IA³'s numbers, and whether they are for the input.
        case weight, onInput
    }

    enum HadamardPart: String {
        case w1a = "hada_w1_a"
        case w1b = "hada_w1_b"
        case w2a = "hada_w2_a"
        case w2b = "hada_w2_b"
    }

    enum KroneckerPart: String {
        case w1 = "lokr_w1"
        case w1a = "lokr_w1_a"
        case w1b = "lokr_w1_b"
        case w2 = "lokr_w2"
        case w2a = "lokr_w2_a"
        case w2b = "lokr_w2_b"
    }

    /// Part of a text tower.
    enum Module: Hashable {
        case matrix(LoRA.Target)
        /// The layer is `nil` for the final norm.
        case norm(layer: Int?, LoRA.Norm)

        /// As transformers calls it.
        var name: String {
            switch self {
            case .matrix(let target): target.name
            case .norm(let layer, let norm):
                "text_model." + (layer.map { "encoder.layers.\($0)." } ?? "") + norm.rawValue
            }
        }
    }

    /// The longest first, as one begins with another.
    static let prefixes: [(text: String, slot: LoRAReader.Slot)] = [
        ("lora_te1_", .first), ("lora_te2_", .second), ("lora_te_", .first),
        ("text_encoder_2.", .second), ("text_encoder.", .first),
        ("text_encoders.clip_l.", .first), ("text_encoders.clip_h.", .first),
        ("text_encoders.clip_g.", .second),
        ("clip_l.", .first), ("clip_h.", .first), ("clip_g.", .second),
        ("base_model.model.", .unnamed), ("lycoris_", .unnamed),
    ]

    /// The module with underscores between its components, and the components that say what the tensor
    /// is to it; those are empty where nothing says it.
    static func split(_ name: Substring) -> (module: String, part: [Substring]) {
        var components = name.split(separator: ".", omittingEmptySubsequences: false)
        // Wrappers around a model: PEFT's in diffusers' files, ComfyUI's in its own.
        if components.starts(with: ["base_model", "model"]) { components.removeFirst(2) }
        if components.first == "transformer" { components.removeFirst() }
        let start = components.firstIndex { component in
            beginnings.contains { component.hasPrefix($0) } || component.hasSuffix("_lora")
                || wholes.contains(component)
        }
        guard let start, start > 0 else {
            return (components.joined(separator: "_"), [])
        }
        // Old diffusers: `self_attn.to_q_lora.down.weight` is of `self_attn.q_proj`.
        if components[start].hasSuffix("_lora"), components[start].hasPrefix("to_") {
            let letter = components[start].dropFirst(3).dropLast(5)
            let module = components[..<start] + [Substring("\(letter)_proj")]
            return (
                module.joined(separator: "_"), ["lora"] + components[(start + 1)...]
            )
        }
        return (components[..<start].joined(separator: "_"), Array(components[start...]))
    }

    private static let beginnings = ["lora", "hada_", "lokr_", "oft_", "boft_", "glora"]
    private static let wholes: Set<Substring> = [
        "alpha", "dora_scale", "diff", "diff_b", "w_norm", "b_norm", "weight", "bias", "on_input",
        "scalar", "ia3_l", "a1", "a2", "b1", "b2", "set_weight", "scale", "bias_indices",
        "bias_values", "bias_size", "norm",
    ]

    /// What a tensor is to its module; `nil` for what no adapter that is read here has.
    static func part(_ components: [Substring]) -> Part? {
        var components = components
        // PEFT may name the adapter: `lora_A.default.weight`.
        let named: Set<Substring> = ["lora_A", "lora_B", "lora_magnitude_vector"]
        if components.count == 3, named.contains(components[0]) { components.remove(at: 1) }
        let text = components.joined(separator: ".")
        if let part = HadamardPart(rawValue: text) { return .hadamard(part) }
        if let part = KroneckerPart(rawValue: text) { return .kronecker(part) }
        return switch text {
        case "lora_down.weight", "lora_A.weight", "lora_linear_layer.down.weight",
            "lora.down.weight":
            .down
        case "lora_up.weight", "lora_B.weight", "lora_linear_layer.up.weight", "lora.up.weight":
            .up
        case "alpha": .alpha
        case "dora_scale", "lora_magnitude_vector", "lora_magnitude_vector.weight": .magnitude
        case "diff": .difference
        case "diff_b": .biasDifference
        case "w_norm": .normWeight
        case "b_norm": .normBias
        case "weight": .weight
        case "on_input": .onInput
        default: nil
        }
    }

    /// Whether a module's name (with underscores) is one of a CLIP text tower, known or not.
    static func isTextTower(_ module: String) -> Bool {
        [
            "text_model_", "encoder_layers_", "text_projection", "final_layer_norm",
            "embeddings_token_embedding", "embeddings_position_embedding",
        ].contains { module.hasPrefix($0) }
    }

    /// Whose a module is that is none of a CLIP text tower, for people.
    static func owner(_ module: String) -> String {
        if module.hasPrefix("encoder_block_") || module == "shared" { return "T5" }
        if module.hasPrefix("model_layers_") || module.hasPrefix("layers_") {
            return "a language model"
        }
        return "no CLIP text tower"
    }

    /// A part of the tower by its module's name with underscores; the prefix `text_model` may be
    /// missing.
    static func module(_ name: String) -> Module? {
        var rest = name[...]
        if rest.hasPrefix("text_model_") { rest = rest.dropFirst("text_model_".count) }
        if rest == "text_projection" {
            return .matrix(LoRA.Target(layer: nil, matrix: .projection))
        }
        if rest == "final_layer_norm" { return .norm(layer: nil, .final) }
        guard rest.hasPrefix("encoder_layers_") else { return nil }
        rest = rest.dropFirst("encoder_layers_".count)
        guard let end = rest.firstIndex(of: "_"), let layer = Int(rest[..<end]), layer >= 0 else {
            return nil
        }
        let part = String(rest[rest.index(after: end)...])
        if let matrix = matrices[part] { return .matrix(LoRA.Target(layer: layer, matrix: matrix)) }
        guard let norm = LoRA.Norm(rawValue: part), norm != .final else { return nil }
        return .norm(layer: layer, norm)
    }

    private static let matrices: [String: LoRA.Matrix] = {
        var matrices: [String: LoRA.Matrix] = [:]
        for matrix in LoRA.Matrix.allCases where matrix != .projection {
            matrices[String(matrix.rawValue.map { $0 == "." ? "_" : $0 })] = matrix
        }
        return matrices
    }()
}
