/// A file with changes for the text encoders of a pipeline, and usually for its UNet.
///
/// Names as kohya's trainers, OneTrainer and LyCORIS write them (`lora_te_`, `lora_te1_`, `lora_te2_`),
/// as diffusers does (`text_encoder.`, `text_encoder_2.`), ComfyUI (`clip_l.`, `clip_g.`), and PEFT
/// (`base_model.model.`, which does not say which encoder it is for: its width does).
public struct LoRAFile: Sendable, Equatable {
    /// Tensors that change no CLIP text encoder.
    public struct Other: Sendable, Equatable {
        /// What they belong to, for people.
        public let part: String
        public let tensors: Int
    }

    /// A textual inversion that came along (`bundle_emb.NAME.`).
    public struct BundledEmbedding: Sendable, Equatable {
        public let name: String
        public let inversion: TextualInversion
    }

    /// For messages.
    public let path: String
    /// For a pipeline's first or only text encoder; `nil` when the file leaves it alone.
    public let first: LoRA?
    /// For its second (bigG of SDXL and SD3).
    public let second: LoRA?
    /// For whichever text encoder has its width.
    public let unnamed: LoRA?
    /// What belongs to other parts, by part.
    public let others: [Other]
    /// Textual inversions of the file, by name.
    public let embeddings: [BundledEmbedding]
    /// What of the file cannot be used though it is for a text encoder, for people.
    public let notes: [String]
    /// What is wrong with the changes of an encoder while another's can be used.
    private let faults: [LoRAReader.Slot: EncoderError]

    /// How many tensors belong to other parts (the UNet's).
    public var otherTensors: Int { others.reduce(0) { $0 + $1.tensors } }

    /// Whether there is anything for a text encoder.
    public var changesText: Bool {
        first != nil || second != nil || unnamed != nil || !faults.isEmpty
    }

    /// The changes for the text tower in a role.
    ///
    /// The file's names say which, as far as the width does not contradict them: what is for bigG alone
    /// may be the second's of a pair.
    ///
    /// - Parameters:
    ///   - width: the tower's.
    ///   - isOnly: whether the pipeline has no other text encoder; bigG is then the first.
    /// - Returns: `nil` when the file leaves this tower alone.
    /// - Throws: what is wrong with the changes for it, when the file has others that are right.
    public func lora(
        for role: EncoderRole, width: Int, isOnly: Bool
    ) throws(EncoderError) -> LoRA? {
        let preferred: LoRAReader.Slot = role == .clipG && !isOnly ? .second : .first
        func fits(_ slot: LoRAReader.Slot) -> Bool {
            guard let lora = self[slot] else { return false }
            return lora.width == nil || lora.width == width
        }
        if fits(preferred) { return self[preferred] }
        let others: [LoRAReader.Slot] = isOnly ? [.second, .unnamed] : [.unnamed]
        if let other = others.first(where: fits) { return self[other] }
        if let fault = faults[preferred] { throw fault }
        return self[preferred]
    }

    private subscript(slot: LoRAReader.Slot) -> LoRA? {
        switch slot {
        case .first: first
        case .second: second
        case .unnamed: unnamed
        }
    }

    /// Reads a file, or PEFT's folder of an adapter.
    ///
    /// A file with PEFT's `adapter_config.json` beside it is read with it.
    ///
    /// - Throws: `EncoderError` naming the tensor that is damaged, missing, or of another kind of
    ///   adapter.
    public static func open(_ path: String) throws(EncoderError) -> LoRAFile {
        guard CheckpointContents.isFile(path) else {
            let files = try CheckpointFiles.directory(path)
            for name in weightNames {
                guard let bytes = try files.bytes(named: name) else { continue }
                return try LoRAFile(
                    TensorFile.open(bytes, path: files.path(of: name)),
                    settings: try .beside(files))
            }
            throw .file(
                path: path,
                reason: "holds no adapter: looked for "
                    + weightNames.joined(separator: ", "))
        }
        let source = try TensorFile.open(try MappedBytes.map(path: path), path: path)
        let slash = path.lastIndex(of: "/")
        let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        guard name == weightNames[0] || name == weightNames[1] else {
            return try LoRAFile(source, settings: nil)
        }
        let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        return try LoRAFile(source, settings: try .beside(try .directory(folder)))
    }

    /// What PEFT and diffusers call an adapter's file, PEFT's names first.
    static let weightNames = [
        "adapter_model.safetensors", "adapter_model.bin", "pytorch_lora_weights.safetensors",
        "pytorch_lora_weights.bin",
    ]

    /// Whether a directory is an adapter's.
    static func isFolder(_ files: CheckpointFiles) -> Bool {
        files.names.contains { weightNames.contains($0) }
    }

    /// Reads the bytes of a file.
    ///
    /// - Throws: as `open`.
    public init(bytes: MappedBytes, path: String) throws(EncoderError) {
        try self.init(TensorFile.open(bytes, path: path), settings: nil)
    }

    init(_ source: any TensorSource, settings: PEFTSettings?) throws(EncoderError) {
        guard Self.isLikely(source) else {
            let found = source.tensorNames.prefix(3).map { "\"\($0.prefix(80))\"" }
            throw .unsupported(
                what: "the tensors of \(source.path)",
                expected:
                    "changes to matrices (lora_down, lora_A, hada_w1_a, lokr_w1 and the like)",
                actual: found.isEmpty ? "none" : found.joined(separator: ", "))
        }
        var reader = LoRAReader(source, settings: settings)
        reader.read()
        path = source.path
        first = reader.lora(.first)
        second = reader.lora(.second)
        unnamed = reader.lora(.unnamed)
        others = reader.others
        embeddings = reader.embeddings
        notes = reader.notes
        faults = reader.faults
        // Nothing can be used: said at once, not when a request comes.
        if first == nil, second == nil, unnamed == nil,
            let fault = faults.min(by: { $0.key.rawValue < $1.key.rawValue })
        {
            throw fault.value
        }
    }

    /// Whether a source has names that only such a file has, for text encoders or for other parts.
    static func isLikely(_ source: any TensorSource) -> Bool {
        let marks = [
            ".lora_down.", ".lora_up.", ".lora_A.", ".lora_B.", ".lora.down.", ".lora.up.",
            "_lora.down.", "_lora.up.", ".lora_linear_layer.", ".hada_w1_", ".lokr_w1", ".lokr_w2",
        ]
        let endings = [".dora_scale", ".on_input", ".w_norm", ".b_norm", ".diff", ".diff_b"]
        let beginnings = ["lora_te", "lora_unet_", "lycoris_", "bundle_emb."]
        return source.tensorNames.contains { name in
            marks.contains { name.contains($0) } || endings.contains { name.hasSuffix($0) }
                || beginnings.contains { name.hasPrefix($0) }
        }
    }

    public static func == (left: LoRAFile, right: LoRAFile) -> Bool {
        left.path == right.path && left.first == right.first && left.second == right.second
            && left.unnamed == right.unnamed && left.others == right.others
            && left.embeddings == right.embeddings && left.notes == right.notes
    }
}
