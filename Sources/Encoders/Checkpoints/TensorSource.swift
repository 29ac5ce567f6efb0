/// How the numbers of a tensor are stored in a file; raw values are safetensors' names, and GGUF's for
/// the types that store blocks of 32 or 256 numbers with common scales.
public enum StoredType: String, Sendable, Equatable, CaseIterable {
    case f64 = "F64"
    case f32 = "F32"
    case f16 = "F16"
    case bf16 = "BF16"
    case i64 = "I64"
    case i32 = "I32"
    case i16 = "I16"
    case i8 = "I8"
    case u64 = "U64"
    case u32 = "U32"
    case u16 = "U16"
    case u8 = "U8"
    case bool = "BOOL"
    case f8e4m3 = "F8_E4M3"
    case f8e5m2 = "F8_E5M2"
    case q4v0 = "Q4_0"
    case q4v1 = "Q4_1"
    case q5v0 = "Q5_0"
    case q5v1 = "Q5_1"
    case q8v0 = "Q8_0"
    case q2k = "Q2_K"
    case q3k = "Q3_K"
    case q4k = "Q4_K"
    case q5k = "Q5_K"
    case q6k = "Q6_K"
    case iq4nl = "IQ4_NL"
    case iq4xs = "IQ4_XS"

    /// Numbers that are stored together: 1, or 32 or 256 in a block.
    public var blockLength: Int {
        switch self {
        case .q4v0, .q4v1, .q5v0, .q5v1, .q8v0, .iq4nl: 32
        case .q2k, .q3k, .q4k, .q5k, .q6k, .iq4xs: 256
        default: 1
        }
    }
    /// Whether numbers share a scale; only GGUF has such types.
    public var isQuantized: Bool { blockLength > 1 }

    /// Bytes an element, or a block of elements of a quantised type.
    public var size: Int {
        switch self {
        case .f64, .i64, .u64: 8
        case .f32, .i32, .u32: 4
        case .f16, .bf16, .i16, .u16: 2
        case .i8, .u8, .bool, .f8e4m3, .f8e5m2: 1
        // A scale in F16, for some a least value, the fifth bits, and the numbers.
        case .q4v0, .iq4nl: 18
        case .q4v1: 20
        case .q5v0: 22
        case .q5v1: 24
        case .q8v0: 34
        // 256 numbers of a few bits, scales of their sixteenths or eighths, and the scales' scale.
        case .q2k: 84
        case .q3k: 110
        case .q4k: 144
        case .q5k: 176
        case .q6k: 210
        case .iq4xs: 136
        }
    }

    /// Whether a tower can be built from it. Widening to fp32 is exact; doubles, which only pickles of
    /// old experiments hold, are rounded to the nearest.
    public var holdsWeights: Bool {
        switch self {
        case .f32, .f16, .bf16, .f64, .f8e4m3, .f8e5m2: true
        default: isQuantized
        }
    }
}

/// What a file with tensors is.
public enum TensorContainer: String, Sendable, Equatable {
    case safetensors
    /// A pickle and storages that `torch.save` wrote.
    case torch
    /// A module that `torch.jit.save` wrote.
    case torchScript = "torchscript"
    case gguf
}

/// All tensors of a checkpoint by name, whatever they are stored in.
public protocol TensorSource: Sendable {
    /// Where the tensors come from, for messages.
    var path: String { get }
    var container: TensorContainer { get }
    var tensorNames: [String] { get }
    /// The shape of a tensor, `[]` for a scalar; `nil` when there is none of this name.
    func shape(of name: String) -> [Int]?
    func storedType(of name: String) -> StoredType?
    /// Looks at a tensor's entry, not at its values.
    ///
    /// - Returns: what it is stored in.
    /// - Throws: `EncoderError.tensor` when it is missing, has another shape, or is not stored in a type
    ///   that holds weights.
    func check(_ name: String, shape: [Int]) throws(EncoderError) -> StoredType
    /// The values of a tensor, row-major, widened exactly to fp32.
    ///
    /// - Throws: `EncoderError.tensor` when it is missing, has another shape, is not stored in a type
    ///   that holds weights, or holds NaN or infinity.
    func floats(_ name: String, shape: [Int]) throws(EncoderError) -> [Float]
    /// The bytes of a tensor as they are stored, in order, in pieces of whole elements or blocks.
    ///
    /// - Returns: `false` when there is no tensor of this name.
    /// - Throws: `EncoderError.file` when a file changed meanwhile.
    func readStoredBytes(
        _ name: String, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(EncoderError) -> Bool
    /// What messages call a tensor.
    func displayName(_ name: String) -> String
    /// Gives the memory of mapped files back to the system; what is read again afterwards is read from
    /// the files again.
    func releasePages()
}

extension TensorSource {
    public func displayName(_ name: String) -> String { name }

    /// The bytes of a tensor as they are stored, all at once; `nil` when there is none.
    public func storedBytes(_ name: String) throws(EncoderError) -> [UInt8]? {
        var all: [UInt8] = []
        guard try readStoredBytes(name, { all += $0 }) else { return nil }
        return all
    }

    public func check(_ name: String, shape: [Int]) throws(EncoderError) -> StoredType {
        func fault(_ expected: String, _ actual: String) -> EncoderError {
            .tensor(path: path, name: displayName(name), expected: expected, actual: actual)
        }
        guard let stored = self.shape(of: name), let type = storedType(of: name) else {
            throw fault("shape \(shape)", "no such tensor")
        }
        guard stored == shape else { throw fault("shape \(shape)", "shape \(stored)") }
        guard type.holdsWeights else { throw fault("numbers with a fraction", type.rawValue) }
        return type
    }

    public func floats(_ name: String, shape: [Int]) throws(EncoderError) -> [Float] {
        let type = try check(name, shape: shape)
        let count = shape.reduce(1, *)
        var found: Result<Bool, EncoderError> = .success(false)
        let values = [Float](unsafeUninitializedCapacity: count) { output, initialized in
            var filled = 0
            found = Result { () throws(EncoderError) in
                try readStoredBytes(name) { piece in
                    let next = piece.count / type.size * type.blockLength
                    precondition(filled + next <= count, "a tensor's bytes are its shape's")
                    FloatWidening.widen(
                        piece, type: type,
                        into: UnsafeMutableBufferPointer(rebasing: output[filled..<filled + next]))
                    filled += next
                }
            }
            initialized = filled
        }
        guard try found.get(), values.count == count else {
            throw .tensor(
                path: path, name: displayName(name), expected: "shape \(shape)",
                actual: "no such tensor")
        }
        if let index = FloatWidening.firstNonFinite(values) {
            throw .tensor(
                path: path, name: displayName(name), expected: "finite values",
                actual: "\(values[index]) at element \(index)")
        }
        return values
    }
}

extension StoredType {
    /// How many bytes are read at once: whole elements or blocks.
    var pieceLength: Int { max(1, MappedBytes.pieceLength / size) * size }
}
