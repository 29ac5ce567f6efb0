import CEmbedded
import JSON

/// An encoder as the files of a transformers directory: `config.json`, `model.safetensors`, and its
/// tokenizer's and preprocessor's files.
///
/// Weights are stored in the narrowest of F16, BF16 and F32 that holds all of them exactly, so what is
/// read back is what was read. A tokenizer or preprocessor that the encoder brings is copied; the
/// built-in one is written out.
public struct TransformersExport: Sendable {
    /// What the weights are stored as.
    public let type: StoredType
    /// The names of the files, in the order in which they are written.
    public var names: [String] { [Self.weightsName] + documents.map(\.name) }
    /// How many numbers the weights are.
    public var parameters: Int { tensors.reduce(0) { $0 + $1.values.count } }

    private static let weightsName = "model.safetensors"
    private let tensors: [NamedTensor]
    private let documents: [(name: String, bytes: [UInt8])]

    /// Reads an encoder whole.
    ///
    /// - Throws: `EncoderError` naming the file, field or tensor that is missing or wrong, or a
    ///   preprocessing that transformers cannot be told.
    public init(_ tower: CheckpointTower) throws(EncoderError) {
        let configuration = tower.configuration
        var tensors: [NamedTensor] = []
        if let sizes = configuration.text, let weights = try tower.textWeights() {
            tensors += weights.transformersTensors(sizes)
        }
        if let sizes = configuration.vision, let weights = try tower.visionWeights() {
            tensors += weights.transformersTensors(sizes)
        }
        if configuration.text != nil, configuration.vision != nil {
            tensors.append(NamedTensor("logit_scale", [], [try tower.storedLogitScale()]))
        }
        type = FloatNarrowing.narrowestType(tensors)
        self.tensors = tensors
        var documents = [
            (name: "config.json", bytes: Self.text(configuration.transformersJSON(type)))
        ]
        documents += try Self.tokenizer(tower)
        documents += try Self.preprocessor(tower)
        self.documents = documents
    }

    /// Writes a new directory; when this throws, there is none.
    ///
    /// - Throws: `EncoderError.file` when something is at the path already, or it cannot be written.
    public func write(to path: String) throws(EncoderError) {
        let folder = try OutputFolder(path)
        let header = header()
        try folder.write(Self.weightsName) {
            (write: ([UInt8]) throws(EncoderError) -> Void) throws(EncoderError) in
            try write(header)
            for tensor in tensors {
                for start in stride(from: 0, to: tensor.values.count, by: 1 << 20) {
                    let end = min(tensor.values.count, start + (1 << 20))
                    try write(FloatNarrowing.bytes(tensor.values[start..<end], type))
                }
            }
        }
        for document in documents {
            try folder.write(document.name) {
                (write: ([UInt8]) throws(EncoderError) -> Void) throws(EncoderError) in
                try write(document.bytes)
            }
        }
        try folder.commit()
    }

    private func header() -> [UInt8] {
        SafetensorsWriter.header(
            tensors.map { .init(name: $0.name, type: type, shape: $0.shape) },
            metadata: ["format": "pt"])
    }

    // MARK: documents

    private static func text(_ object: JSONObject) -> [UInt8] {
        Array((JSONValue.object(object).text(pretty: true) + "\n").utf8)
    }

    private static func tokenizer(
        _ tower: CheckpointTower
    ) throws(EncoderError) -> [(name: String, bytes: [UInt8])] {
        guard let tokenizer = try tower.tokenizer() else { return [] }
        if let files = tower.tokenizerFiles, tokenizer.path != BytePairTokenizer.builtInPath {
            return try copies(
                files,
                [
                    "tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json",
                    "special_tokens_map.json", "added_tokens.json",
                ])
        }
        let spellings = BytePairTokenizer.clipSpellings
        var vocabulary = JSONObject()
        for (token, spelling) in spellings.enumerated() { vocabulary[spelling] = .integer(token) }
        let end = "<|endoftext|>"
        let pad =
            spellings.indices.contains(Int(tokenizer.padToken))
            ? spellings[Int(tokenizer.padToken)] : end
        let special: JSONObject = [
            "bos_token": "<|startoftext|>", "eos_token": .string(end), "unk_token": .string(end),
            "pad_token": .string(pad),
        ]
        var settings: JSONObject = [
            "tokenizer_class": "CLIPTokenizer", "do_lower_case": true, "errors": "replace",
            "add_prefix_space": false,
            "model_max_length": .integer(tower.configuration.text?.contextLength ?? 77),
        ]
        for (name, value) in special.members { settings[name] = value }
        var merges = Array("#version: 0.2\n".utf8)
        for line in EmbeddedTable.lines(of: guidanced_clip_merges()) {
            merges += line + [UInt8(ascii: "\n")]
        }
        return [
            ("vocab.json", Array(JSONValue.object(vocabulary).text().utf8)),
            ("merges.txt", merges),
            ("tokenizer_config.json", text(settings)),
            ("special_tokens_map.json", text(special)),
        ]
    }

    private static func preprocessor(
        _ tower: CheckpointTower
    ) throws(EncoderError) -> [(name: String, bytes: [UInt8])] {
        guard let preprocessing = try tower.preprocessing() else { return [] }
        let name = "preprocessor_config.json"
        if preprocessing.profile != .openCLIP, let files = tower.preprocessingFiles,
            try files.bytes(named: name) != nil
        {
            return try copies(files, [name])
        }
        return [(name, text(try preprocessing.transformersJSON(path: tower.path)))]
    }

    private static func copies(
        _ files: CheckpointFiles, _ names: [String]
    ) throws(EncoderError) -> [(name: String, bytes: [UInt8])] {
        var copies: [(name: String, bytes: [UInt8])] = []
        for name in names {
            guard let bytes = try files.bytes(named: name) else { continue }
            copies.append((name, try bytes.array()))
        }
        return copies
    }
}
