import JSON

/// One safetensors file: its header checked as a whole, its tensors read on demand.
///
/// Layout (safetensors' `README.md`, "Format"): 8 bytes header length, little-endian; a JSON object
/// from names to `{dtype, shape, data_offsets}`; the data. Offsets count from the end of the header,
/// and the tensors must tile the data without overlap or hole.
public struct SafetensorsFile: TensorSource {
    /// What the header says about one tensor.
    public struct Entry: Sendable, Equatable {
        public let type: StoredType
        public let shape: [Int]
        /// Where its bytes are in the file.
        public let range: Range<Int>
        /// The number of its elements: 1 for a scalar.
        public var elementCount: Int { range.count / type.size }
    }

    /// The largest header that is read, as in the reference implementation.
    public static let maximumHeaderLength = 100_000_000

    public let path: String
    /// The names in the order of their data.
    public let tensorNames: [String]
    /// The free-form `__metadata__`.
    public let metadata: [String: String]
    private let entries: [String: Entry]
    private let bytes: MappedBytes

    /// Checks the whole header against the file's length; no tensor is read.
    ///
    /// - Throws: `EncoderError.malformed` for a damaged container, `.tensor` for a tensor whose
    ///   datatype, shape and offsets do not agree.
    public init(bytes: MappedBytes, path: String) throws(EncoderError) {
        try bytes.checkLength()
        let header = try bytes.withUnsafeBytes { buffer throws(EncoderError) in
            try SafetensorsHeader(buffer, path: path)
        }
        self.bytes = bytes
        self.path = path
        self.tensorNames = header.names
        self.metadata = header.metadata
        self.entries = header.entries
    }

    public var container: TensorContainer { .safetensors }

    /// What is known of a tensor; `nil` when there is none of this name.
    public func info(_ name: String) -> Entry? { entries[name] }
    public func shape(of name: String) -> [Int]? { entries[name]?.shape }
    public func storedType(of name: String) -> StoredType? { entries[name]?.type }

    public func releasePages() { bytes.releasePages() }

    public func readStoredBytes(
        _ name: String, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(EncoderError) -> Bool {
        guard let entry = entries[name] else { return false }
        try bytes.readPieces(entry.range, length: entry.type.pieceLength, body)
        return true
    }
}
