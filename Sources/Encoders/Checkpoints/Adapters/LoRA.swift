/// Low-rank changes to the matrices of one text tower.
public struct LoRA: Sendable, Equatable {
    /// A matrix of a text tower.
    public enum Matrix: String, Sendable, Equatable, CaseIterable {
        case query = "self_attn.q_proj"
        case key = "self_attn.k_proj"
        case value = "self_attn.v_proj"
        case out = "self_attn.out_proj"
        case fc1 = "mlp.fc1"
        case fc2 = "mlp.fc2"
        case projection = "text_projection"
    }

    /// Which matrix of which layer is changed.
    public struct Target: Sendable, Hashable {
        /// `nil` for the projection.
        public let layer: Int?
        public let matrix: Matrix

        /// As transformers calls it.
        var name: String {
            layer.map { "text_model.encoder.layers.\($0).\(matrix.rawValue)" } ?? matrix.rawValue
        }
    }

    /// The length that DoRA gives to each row or column of the changed matrix.
    public enum Magnitude: Sendable, Equatable {
        /// One for each output (PEFT; LyCORIS with `wd_on_out`).
        case rows([Float])
        /// One for each input (LyCORIS' older form).
        case columns([Float])
    }

    /// A change W + scale · up · down, with W [outputs, inputs].
    public struct Update: Sendable, Equatable {
        public let rank: Int
        public let inputs: Int
        public let outputs: Int
        /// [rank, inputs].
        public let down: [Float]
        /// [outputs, rank].
        public let up: [Float]
        /// alpha/rank (alpha/√rank for a rank-stabilised one); 1 where no alpha is stored.
        public let scale: Float
        /// `nil` for a plain LoRA.
        public let magnitude: Magnitude?
    }

    /// For messages.
    public let path: String
    public let updates: [Target: Update]

    /// Whether any matrix is renormalised.
    public var isDoRA: Bool { updates.values.contains { $0.magnitude != nil } }
}

/// A file with LoRAs for the text encoders of a pipeline, and usually for its UNet.
///
/// Names as kohya's trainers write them (`lora_te_`, `lora_te1_`, `lora_te2_` with `lora_down`,
/// `lora_up`, `alpha`, `dora_scale`) and as diffusers and PEFT do (`text_encoder.`,
/// `text_encoder_2.` with `lora_A`, `lora_B`, `lora_magnitude_vector`, and older spellings).
public struct LoRAFile: Sendable, Equatable {
    /// For messages.
    public let path: String
    /// For a pipeline's first or only text encoder; `nil` when the file leaves it alone.
    public let first: LoRA?
    /// For its second (bigG of SDXL and SD3).
    public let second: LoRA?
    /// How many tensors belong to other parts (the UNet's).
    public let otherTensors: Int

    /// The changes for the text tower in a role.
    ///
    /// - Parameter isOnly: whether the pipeline has no other text encoder; bigG is then the first.
    public func lora(for role: EncoderRole, isOnly: Bool) -> LoRA? {
        role == .clipG && !isOnly ? second : first
    }

    /// Reads a file.
    ///
    /// - Throws: `EncoderError` naming the tensor that is damaged, missing, or of another kind of
    ///   adapter.
    public static func open(_ path: String) throws(EncoderError) -> LoRAFile {
        try LoRAFile(bytes: try MappedBytes.map(path: path), path: path)
    }

    /// Reads the bytes of a file.
    ///
    /// - Throws: as `open`.
    public init(bytes: MappedBytes, path: String) throws(EncoderError) {
        try self.init(TensorFile.open(bytes, path: path))
    }

    init(_ source: any TensorSource) throws(EncoderError) {
        var reader = LoRAReader(source)
        try reader.read()
        path = source.path
        first = try reader.lora(.first)
        second = try reader.lora(.second)
        otherTensors = reader.otherTensors
    }

    /// Whether a source has names that only a LoRA has, for text encoders or for other parts.
    static func isLikely(_ source: any TensorSource) -> Bool {
        let marks = [
            ".lora_down.", ".lora_up.", ".lora_A.", ".lora_B.", ".lora.down.", ".lora.up.",
            "_lora.down.", "_lora.up.", ".lora_linear_layer.", ".dora_scale",
        ]
        return source.tensorNames.contains { name in marks.contains { name.contains($0) } }
    }
}
