/// Sorts the tensors of a LoRA file by encoder and matrix, and counts those of other parts.
struct LoRAReader {
    /// Which text encoder of a pipeline names say that a change is for.
    enum Slot: String, Hashable {
        case first = "text_encoder"
        case second = "text_encoder_2"
        case unnamed

        /// As diffusers calls it.
        var encoder: String? { self == .unnamed ? nil : rawValue }
    }

    struct Key: Hashable {
        let slot: Slot
        let module: LoRANames.Module
    }

    let source: any TensorSource
    let settings: PEFTSettings
    /// The name of each part of each matrix or norm.
    private(set) var parts: [Key: [LoRANames.Part: String]] = [:]
    /// The first fault of each encoder's changes.
    private(set) var faults: [Slot: EncoderError] = [:]
    private(set) var embeddings: [LoRAFile.BundledEmbedding] = []
    private(set) var notes: [String] = []
    private var usable: [Slot: LoRA] = [:]
    private var counts: [String: Int] = [:]

    init(_ source: any TensorSource, settings: PEFTSettings?) {
        self.source = source
        self.settings = settings ?? .metadata(of: source)
    }

    /// What belongs to other parts, the most tensors first.
    var others: [LoRAFile.Other] {
        counts.map { LoRAFile.Other(part: $0.key, tensors: $0.value) }
            .sorted { ($1.tensors, $0.part) < ($0.tensors, $1.part) }
    }

    /// What the file has for an encoder; `nil` for nothing.
    func lora(_ slot: Slot) -> LoRA? { usable[slot] }

    /// Looks at every name, and reads what is for text encoders.
    mutating func read() {
        var bundled: [String] = []
        for name in source.tensorNames {
            if name.hasPrefix(Self.bundle) {
                let rest = name.dropFirst(Self.bundle.count)
                let own = String(rest.prefix { $0 != "." })
                if !own.isEmpty, !bundled.contains(own) { bundled.append(own) }
                continue
            }
            sort(name)
        }
        for slot in [Slot.first, .second, .unnamed] {
            do throws(EncoderError) {
                usable[slot] = try changes(slot)
            } catch {
                fail(slot, error)
            }
            // Half an encoder's changes are no use.
            if faults[slot] != nil { usable[slot] = nil }
        }
        for name in bundled { readEmbedding(name) }
    }

    private static let bundle = "bundle_emb."

    private mutating func sort(_ name: String) {
        guard let (prefix, slot) = LoRANames.prefixes.first(where: { name.hasPrefix($0.text) })
        else {
            counts[Self.part(of: name), default: 0] += 1
            return
        }
        let (module, components) = LoRANames.split(name.dropFirst(prefix.count))
        guard LoRANames.isTextTower(module) else {
            let place = slot == .unnamed ? String(prefix.dropLast()) : slot.rawValue
            counts["\(place) (\(LoRANames.owner(module)))", default: 0] += 1
            return
        }
        guard let target = LoRANames.module(module) else {
            fail(
                slot,
                .tensor(
                    path: source.path, name: name,
                    expected: "a matrix or norm of a CLIP text tower", actual: "\"\(module)\""))
            return
        }
        guard let part = LoRANames.part(components) else {
            fail(slot, Self.another(name, source.path))
            return
        }
        let key = Key(slot: slot, module: target)
        if let other = parts[key, default: [:]].updateValue(name, forKey: part) {
            fail(
                slot,
                .tensor(
                    path: source.path, name: name, expected: "each part of a matrix once",
                    actual: "also \"\(other)\""))
        }
    }

    private mutating func fail(_ slot: Slot, _ error: EncoderError) {
        if faults[slot] == nil { faults[slot] = error }
    }

    static func another(_ tensor: String, _ path: String) -> EncoderError {
        .unsupported(
            what: "\(path), tensor \"\(tensor)\"",
            expected: "a part of a LoRA, DoRA, LoHa, LoKr, difference or IA³",
            actual: "another kind of change")
    }

    private mutating func readEmbedding(_ name: String) {
        let tensors = PrefixedTensors(source, prefix: "\(Self.bundle)\(name).")
        do throws(EncoderError) {
            embeddings.append(
                LoRAFile.BundledEmbedding(name: name, inversion: try TextualInversion(tensors)))
        } catch {
            notes.append("embedding \"\(name.prefix(100))\" of the file: \(error)")
        }
    }

    /// Whose a tensor is that is under no text encoder's prefix, for people.
    private static func part(of name: String) -> String {
        if name.hasPrefix("lora_te3_") || name.hasPrefix("text_encoder_3.") {
            return "text_encoder_3"
        }
        for (prefix, part) in [
            ("lora_unet_", "unet"), ("unet.", "unet"), ("lora_transformer_", "transformer"),
            ("transformer.", "transformer"), ("diffusion_model.", "diffusion model"),
            ("model.diffusion_model.", "diffusion model"), ("lora_prior_", "prior"),
        ] where name.hasPrefix(prefix) { return part }
        if name.hasPrefix("text_encoders.") {
            let rest = name.dropFirst("text_encoders.".count)
            return "text_encoders." + rest.prefix { $0 != "." }.prefix(40)
        }
        return "other parts"
    }
}
