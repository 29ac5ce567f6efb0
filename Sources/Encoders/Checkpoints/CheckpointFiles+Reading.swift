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
        // Copied first: the text may change under a parser that reads the mapping itself.
        let copy = try bytes.array()
        do throws(JSONError) {
            return try JSONValue.parse(file: copy)
        } catch {
            throw .malformed(
                path: path(of: name), offset: error.offset, expected: error.expected,
                actual: error.actual)
        }
    }

    /// The tensors of the checkpoint: one file, or shards and their index; safetensors before pickles.
    ///
    /// - Throws: `EncoderError.file` naming what was looked for.
    package func tensors(layout: CheckpointLayout) throws(EncoderError) -> any TensorSource {
        for name in layout.weightNames {
            if let bytes = try bytes(named: name) {
                return try TensorFile.open(bytes, path: path(of: name))
            }
            let index = name + ".index.json"
            if try bytes(named: index) != nil {
                return try ShardedTensors(files: self, index: index)
            }
        }
        let wanted = layout.weightNames.joined(separator: ", ")
        throw .file(
            path: path,
            reason: "holds no weights: looked for \(wanted), and the same with .index.json")
    }

    /// Whether there are weights under one of the names that a layout uses.
    func hasWeights(_ layout: CheckpointLayout) throws(EncoderError) -> Bool {
        for name in layout.weightNames {
            for suffix in ["", ".index.json"] where try bytes(named: name + suffix) != nil {
                return true
            }
        }
        return false
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

    /// What files with weights are called, the likeliest first; with `.index.json` behind it, the
    /// index of shards. `fp16` is the variant that pipelines are often distributed as.
    var weightNames: [String] {
        switch self {
        case .transformers:
            [
                "model.safetensors", "model.fp16.safetensors", "pytorch_model.bin",
                "pytorch_model.fp16.bin",
            ]
        case .openCLIP:
            [
                "open_clip_model.safetensors", "model.safetensors", "open_clip_pytorch_model.bin",
            ]
        }
    }
}
