/// Opens a file with tensors by what it holds; its name says nothing.
enum TensorFile {
    /// - Throws: `EncoderError` of the format that the first bytes belong to; bytes of no other
    ///   format are read as safetensors, which has no mark of its own.
    static func open(_ bytes: MappedBytes, path: String) throws(EncoderError) -> any TensorSource {
        try bytes.checkLength()
        if bytes.withUnsafeBytes({ GGUFFile.isLikely($0) }) {
            return try GGUFFile(bytes: bytes, path: path)
        }
        let isTorch = bytes.withUnsafeBytes { TorchArchive.isLikely($0) }
        return isTorch
            ? try TorchFile(bytes: bytes, path: path)
            : try SafetensorsFile(bytes: bytes, path: path)
    }
}
