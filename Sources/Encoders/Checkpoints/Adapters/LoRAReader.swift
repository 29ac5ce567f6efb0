import JSON

/// Sorts the tensors of a LoRA file by encoder and matrix.
struct LoRAReader {
    enum Slot: String {
        case first = "text_encoder"
        case second = "text_encoder_2"
    }

    /// What a tensor is to its matrix.
    private enum Part: String {
        case down, up, alpha, magnitude
    }

    private struct Key: Hashable {
        let slot: Slot
        let target: LoRA.Target
    }

    /// The longest first, as one begins with another.
    private static let prefixes: [(String, Slot)] = [
        ("lora_te1_", .first), ("lora_te2_", .second), ("lora_te_", .first),
        ("text_encoder_2.", .second), ("text_encoder.", .first),
        ("text_encoders.clip_l.transformer.", .first),
        ("text_encoders.clip_g.transformer.", .second),
    ]
    private static let ranks = 1...16_384

    private let source: any TensorSource
    private let metadata: JSONObject
    /// The name of each part of each matrix.
    private var parts: [Key: [Part: String]] = [:]
    private(set) var otherTensors = 0

    init(_ source: any TensorSource) {
        self.source = source
        metadata = Self.metadata(source)
    }

    /// Looks at every name; no tensor is read.
    mutating func read() throws(EncoderError) {
        for name in source.tensorNames {
            guard let (prefix, slot) = Self.prefixes.first(where: { name.hasPrefix($0.0) }) else {
                otherTensors += 1
                continue
            }
            let (module, part) = try Self.split(
                name.dropFirst(prefix.count), tensor: name, path: source.path)
            guard let target = Self.target(module) else {
                throw .tensor(
                    path: source.path, name: name, expected: "a matrix of a CLIP text tower",
                    actual: "\"\(module)\"")
            }
            let key = Key(slot: slot, target: target)
            if let other = parts[key, default: [:]].updateValue(name, forKey: part) {
                throw .tensor(
                    path: source.path, name: name, expected: "each part of a matrix once",
                    actual: "also \"\(other)\"")
            }
        }
    }

    /// What the file has for an encoder; `nil` for nothing.
    func lora(_ slot: Slot) throws(EncoderError) -> LoRA? {
        var updates: [LoRA.Target: LoRA.Update] = [:]
        for (key, names) in parts where key.slot == slot {
            updates[key.target] = try update(names, key)
        }
        return updates.isEmpty ? nil : LoRA(path: source.path, updates: updates)
    }

    // MARK: names

    /// The module, with underscores between its components, and what the tensor is to it.
    private static func split(
        _ name: Substring, tensor: String, path: String
    ) throws(EncoderError) -> (module: String, part: Part) {
        var components = name.split(separator: ".", omittingEmptySubsequences: false)
        let start = components.firstIndex { component in
            component.hasPrefix("lora") || component.hasSuffix("_lora") || component == "alpha"
                || component == "dora_scale"
        }
        guard let start, start > 0 else { throw another(tensor, path) }
        // Old diffusers: `self_attn.to_q_lora.down.weight` is of `self_attn.q_proj`.
        if components[start].hasSuffix("_lora"), components[start].hasPrefix("to_") {
            let letter = components[start].dropFirst(3).dropLast(5)
            components.insert(Substring("\(letter)_proj"), at: start)
            components[start + 1] = "lora"
            return (
                components[...start].joined(separator: "_"),
                try part(components[(start + 1)...], tensor, path)
            )
        }
        return (
            components[..<start].joined(separator: "_"),
            try part(components[start...], tensor, path)
        )
    }

    private static func part(
        _ components: ArraySlice<Substring>, _ tensor: String, _ path: String
    ) throws(EncoderError) -> Part {
        var components = Array(components)
        // PEFT may name the adapter: `lora_A.default.weight`.
        let named: Set<Substring> = ["lora_A", "lora_B", "lora_magnitude_vector"]
        if components.count == 3, named.contains(components[0]) { components.remove(at: 1) }
        switch components.joined(separator: ".") {
        case "lora_down.weight", "lora_A.weight", "lora_linear_layer.down.weight",
            "lora.down.weight":
            return .down
        case "lora_up.weight", "lora_B.weight", "lora_linear_layer.up.weight", "lora.up.weight":
            return .up
        case "alpha": return .alpha
        case "dora_scale", "lora_magnitude_vector", "lora_magnitude_vector.weight":
            return .magnitude
        default: throw another(tensor, path)
        }
    }

    private static func another(_ tensor: String, _ path: String) -> EncoderError {
        .unsupported(
            what: "\(path), tensor \"\(tensor)\"",
            expected: "a part of a LoRA or DoRA (down, up, alpha, magnitude)",
            actual: "another kind of change")
    }

    /// A matrix by its module's name with underscores; the prefix `text_model` may be missing.
    private static func target(_ module: String) -> LoRA.Target? {
        var rest = module[...]
        // PEFT's wrapper around a model.
        if rest.hasPrefix("base_model_model_") {
            rest = rest.dropFirst("base_model_model_".count)
        }
        if rest.hasPrefix("text_model_") { rest = rest.dropFirst("text_model_".count) }
        if rest == "text_projection" { return LoRA.Target(layer: nil, matrix: .projection) }
        guard rest.hasPrefix("encoder_layers_") else { return nil }
        rest = rest.dropFirst("encoder_layers_".count)
        guard let end = rest.firstIndex(of: "_"), let layer = Int(rest[..<end]), layer >= 0 else {
            return nil
        }
        let name = String(rest[rest.index(after: end)...])
        guard let matrix = matrices[name] else { return nil }
        return LoRA.Target(layer: layer, matrix: matrix)
    }

    private static let matrices: [String: LoRA.Matrix] = {
        var matrices: [String: LoRA.Matrix] = [:]
        for matrix in LoRA.Matrix.allCases where matrix != .projection {
            matrices[String(matrix.rawValue.map { $0 == "." ? "_" : $0 })] = matrix
        }
        return matrices
    }()

    // MARK: tensors

    private func update(
        _ names: [Part: String], _ key: Key
    ) throws(EncoderError) -> LoRA.Update {
        guard let downName = names[.down], let upName = names[.up] else {
            let missing = names[.down] == nil ? Part.down : .up
            let known = names.values.min() ?? key.target.name
            throw .tensor(
                path: source.path, name: known,
                expected: "the \(missing.rawValue) matrix beside it",
                actual: "no such tensor")
        }
        let down = source.shape(of: downName) ?? []
        let up = source.shape(of: upName) ?? []
        guard down.count == 2, Self.ranks.contains(down[0]),
            ConfigurationLimits.mlpWidth.contains(down[1])
        else {
            throw .tensor(
                path: source.path, name: downName, expected: "shape [rank, inputs]",
                actual: "shape \(down)")
        }
        let rank = down[0]
        guard up.count == 2, up[1] == rank, ConfigurationLimits.mlpWidth.contains(up[0]) else {
            throw .tensor(
                path: source.path, name: upName, expected: "shape [outputs, \(rank)]",
                actual: "shape \(up)")
        }
        return LoRA.Update(
            rank: rank, inputs: down[1], outputs: up[0],
            down: try source.floats(downName, shape: down),
            up: try source.floats(upName, shape: up),
            scale: try scale(names[.alpha], rank, key),
            magnitude: try names[.magnitude].map { name throws(EncoderError) in
                try magnitude(name, outputs: up[0], inputs: down[1])
            })
    }

    private func scale(
        _ name: String?, _ rank: Int, _ key: Key
    ) throws(EncoderError) -> Float {
        if let name {
            let alpha = try source.scalar(name)
            return alpha / Float(rank)
        }
        // diffusers keeps PEFT's settings in the file's metadata (`lora_base.py`).
        let prefix = key.slot.rawValue + "."
        let module = key.target.name
        let pattern = metadata[prefix + "alpha_pattern"]?.objectValue?.members.first {
            module == $0.key || module.hasSuffix("." + $0.key)
        }
        guard
            let alpha = pattern?.value.doubleValue ?? metadata[prefix + "lora_alpha"]?.doubleValue
        else { return 1 }
        guard alpha.isFinite, abs(alpha) <= 1e6 else {
            throw .configuration(
                path: source.path, field: prefix + "lora_alpha", expected: "a number up to 1e6",
                actual: "\(alpha)")
        }
        let isStabilised = metadata[prefix + "use_rslora"]?.boolValue == true
        return Float(alpha / (isStabilised ? Double(rank).squareRoot() : Double(rank)))
    }

    private func magnitude(
        _ name: String, outputs: Int, inputs: Int
    ) throws(EncoderError) -> LoRA.Magnitude {
        let shape = source.shape(of: name) ?? []
        if shape == [outputs] || shape == [outputs, 1] {
            return .rows(try source.floats(name, shape: shape))
        }
        if shape == [1, inputs] { return .columns(try source.floats(name, shape: shape)) }
        throw .tensor(
            path: source.path, name: name,
            expected: "shape [\(outputs)], [\(outputs), 1] or [1, \(inputs)]",
            actual: "shape \(shape)")
    }

    private static func metadata(_ source: any TensorSource) -> JSONObject {
        guard let text = (source as? SafetensorsFile)?.metadata["lora_adapter_metadata"],
            let value = try? JSONValue.parse(text), let object = value.objectValue
        else { return JSONObject() }
        return object
    }
}

extension TensorSource {
    /// A tensor of one number, whatever type it is stored in.
    ///
    /// - Throws: `EncoderError.tensor` when it is missing, has more than one element, or is not
    ///   finite.
    func scalar(_ name: String) throws(EncoderError) -> Float {
        let shape = shape(of: name) ?? []
        guard shape.allSatisfy({ $0 == 1 }), let type = storedType(of: name) else {
            throw .tensor(
                path: path, name: name, expected: "one number", actual: "shape \(shape)")
        }
        if type.holdsWeights { return try floats(name, shape: shape)[0] }
        let number = try withStoredBytes(name) { bytes -> Float? in
            switch type {
            case .i64: Float(bytes.loadUnaligned(as: Int64.self))
            case .i32: Float(bytes.loadUnaligned(as: Int32.self))
            case .i16: Float(bytes.loadUnaligned(as: Int16.self))
            case .u8: Float(bytes.loadUnaligned(as: UInt8.self))
            default: nil
            }
        }
        guard let number, let number else {
            throw .tensor(
                path: path, name: name, expected: "a number", actual: type.rawValue)
        }
        return number
    }
}
