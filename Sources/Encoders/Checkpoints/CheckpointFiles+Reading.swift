package import JSON

extension CheckpointFiles {
    /// Documents longer than this are not configurations.
    static let maximumDocumentLength = 64 << 20

    /// A JSON file of the checkpoint; `nil` when it has none of this name.
    ///
    /// - Throws: `EncoderError.malformed` with the byte offset when it is not JSON, `.tooLarge` over
    ///   64 MiB.
    package func json(named name: String) throws(EncoderError) -> JSONValue? {
        guard let bytes = try bytes(named: name) else { return nil }
        guard bytes.count <= Self.maximumDocumentLength else {
            throw .tooLarge(
                what: path(of: name), limit: Self.maximumDocumentLength, actual: bytes.count)
        }
        try bytes.checkLength()
        // Copied first: the text may change under a parser that reads the mapping itself.
        let copy = bytes.array()
        do throws(JSONError) {
            return try JSONValue.parse(copy)
        } catch {
            throw .malformed(
                path: path(of: name), offset: error.offset, expected: error.expected,
                actual: error.actual)
        }
    }

    /// The tensors of the checkpoint: one safetensors file, or shards and their index.
    ///
    /// - Throws: `EncoderError.file` naming what was looked for, `.unsupported` for weights in a
    ///   pickle.
    package func tensors(layout: CheckpointLayout) throws(EncoderError) -> any TensorSource {
        let stems = layout.weightStems
        for stem in stems {
            let name = stem + ".safetensors"
            if let bytes = try bytes(named: name) {
                return try SafetensorsFile(bytes: bytes, path: path(of: name))
            }
            let index = name + ".index.json"
            if try bytes(named: index) != nil {
                return try ShardedTensors(files: self, index: index)
            }
        }
        let wanted = stems.map { "\($0).safetensors or \($0).safetensors.index.json" }
            .joined(separator: ", ")
        if let pickle = names.first(where: { [".bin", ".pt", ".pth"].contains($0.fileSuffix) }) {
            throw .unsupported(
                what: "the weights in \(path)", expected: wanted,
                actual: "\(pickle), which is a pickle")
        }
        throw .file(path: path, reason: "holds no weights: looked for \(wanted)")
    }
}

extension CheckpointLayout {
    /// The file that says what the weights mean.
    var configurationName: String {
        switch self {
        case .transformers: "config.json"
        case .openCLIP: "open_clip_config.json"
        }
    }

    /// What the names of files with weights begin with, the likeliest first.
    var weightStems: [String] {
        switch self {
        case .transformers: ["model"]
        case .openCLIP: ["open_clip_model", "model"]
        }
    }
}

extension String {
    /// What follows the last dot, with the dot.
    fileprivate var fileSuffix: String {
        lastIndex(of: ".").map { String(self[$0...]) } ?? ""
    }
}
