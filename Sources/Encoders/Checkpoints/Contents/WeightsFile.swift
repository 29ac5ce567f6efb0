/// What a path with weights turned out to be.
public enum WeightsFile: Sendable {
    /// One or several encoders.
    case encoders(CheckpointContents)
    case textualInversion(TextualInversion)
    case lora(LoRAFile)

    /// Finds out what is at a path.
    ///
    /// - Throws: `EncoderError` of the kind that it looks like.
    public static func identify(_ path: String) throws(EncoderError) -> WeightsFile {
        guard CheckpointContents.isFile(path) else {
            let files = try CheckpointFiles.directory(path)
            if LoRAFile.isFolder(files) { return .lora(try LoRAFile.open(path)) }
            return .encoders(try CheckpointContents.open(path))
        }
        let source = try TensorFile.open(try MappedBytes.map(path: path), path: path)
        if LoRAFile.isLikely(source) { return .lora(try LoRAFile.open(path)) }
        if TextualInversion.isLikely(source) {
            return .textualInversion(try TextualInversion(source))
        }
        return .encoders(try CheckpointContents.open(path))
    }
}
