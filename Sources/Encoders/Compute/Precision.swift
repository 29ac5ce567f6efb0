internal import CKernels

/// In which numbers a tower multiplies. Sums, norms, softmax and the residual stream are fp32 in all.
public enum Precision: String, Sendable, CaseIterable {
    /// Weights and activations in fp32.
    case f32
    /// Weights and the factors of products in bfloat16.
    case bf16
    /// Weights of an image tower's blocks in bytes with a scale an output, activations in bytes with
    /// a scale and a zero point a token; attention, patch embedding, projections and the text tower
    /// as in `bf16`. For scores only: such towers have no gradients and serve no hidden states.
    case int8

    /// Whether this processor has instructions made for it.
    public var isNative: Bool {
        switch self {
        case .f32: true
        case .bf16: gk_level_has_dots(Int32(GK_BF16)) != 0
        case .int8: gk_level_has_dots(Int32(GK_S8)) != 0
        }
    }

    /// The fastest that keeps gradients and hidden states: bf16 where it is native, else f32.
    public static var automatic: Precision { Precision.bf16.isNative ? .bf16 : .f32 }

    /// Of queries, keys, values and the MLP's activations.
    var activations: Element { self == .f32 ? .f32 : .bf16 }
    /// In which a text tower computes. A prompt's error moves the scores of all images that it is
    /// compared with, and a prompt is embedded once for many images: bytes would save little and cost
    /// half of the ranks' accuracy.
    public var ofText: Precision { self == .int8 ? .bf16 : self }
    /// Of the blocks' weights.
    var weights: Element {
        switch self {
        case .f32: .f32
        case .bf16: .bf16
        case .int8: .s8
        }
    }
}

/// What a number in a block of memory is.
package enum Element: Int32, Sendable {
    case f32 = 0
    case bf16 = 1
    /// A byte: of weights with a sign, times its output's scale; of activations without, less its
    /// row's zero point, times its row's scale.
    case s8 = 2

    package var bytes: Int {
        switch self {
        case .f32: 4
        case .bf16: 2
        case .s8: 1
        }
    }

    /// Numbers from one row of a buffer to the next, for rows of `columns` numbers.
    ///
    /// Whole groups of four; from half a KiB on an odd number of cache lines. Rows that lie a multiple
    /// of 4 KiB apart, as those of usual widths would, share one set of the first-level cache, which
    /// holds fewer lines than a product reads rows at a time.
    package func rowStride(columns: Int) -> Int {
        let line = 64 / bytes
        if columns * bytes < 512 { return (columns + 3) / 4 * 4 }
        return ((columns + line - 1) / line | 1) * line
    }

    /// Bytes from one row of a buffer to the next.
    func rowBytes(columns: Int) -> Int { rowStride(columns: columns) * bytes }
}

/// The library that multiplies by weights.
public enum ComputeBackend: String, Sendable, CaseIterable {
    /// Our kernels on weights packed at load: every precision, items in groups, threads within an item.
    case packed
    /// OpenBLAS: fp32 only, one item a thread.
    case openblas

    /// Whether this build has it.
    public var isBuiltIn: Bool {
        #if PackedKernels
            true
        #else
            self == .openblas
        #endif
    }

    public static var standard: ComputeBackend {
        #if PackedKernels
            .packed
        #else
            .openblas
        #endif
    }
}

/// How a tower's weights are held and multiplied.
public struct ComputeOptions: Sendable, Hashable {
    public var precision: Precision
    public var backend: ComputeBackend
    /// When the transposes that gradients need are made.
    public var gradients: GradientWeights

    public init(
        precision: Precision = .f32, backend: ComputeBackend = .standard,
        gradients: GradientWeights = .eager
    ) {
        self.precision = precision
        self.backend = backend
        self.gradients = gradients
    }

    /// Whether a tower held like this has gradients: bytes are for scores alone.
    public var hasGradients: Bool { gradients != .off && precision != .int8 }

    /// - Throws: `EncoderError.unsupported` for a precision that the backend does not have, or a
    ///   backend that this build does not have.
    func check() throws(EncoderError) {
        guard backend.isBuiltIn else {
            throw .unsupported(
                what: "backend", expected: "openblas (built without packed kernels)",
                actual: backend.rawValue)
        }
        if backend == .openblas, precision != .f32 {
            throw .unsupported(
                what: "precision", expected: "f32 (the backend is OpenBLAS)",
                actual: precision.rawValue)
        }
    }
}

/// The vector instructions that kernels use.
public enum InstructionSet: Int32, Sendable, CaseIterable {
    case portable = 0
    case avx2 = 1
    case avx512 = 2
    /// AVX-512 with dot products of bfloat16s or bytes.
    case avx512dot = 3

    public var name: String {
        switch self {
        case .portable: "portable"
        case .avx2: "avx2"
        case .avx512: "avx512"
        case .avx512dot: "avx512-dot"
        }
    }

    public init?(name: String) {
        guard let set = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = set
    }

    /// The best that this processor has.
    public static var best: InstructionSet {
        InstructionSet(rawValue: gk_highest_level()) ?? .portable
    }

    /// What is in use: the best, unless another was chosen.
    public static var current: InstructionSet {
        InstructionSet(rawValue: gk_level()) ?? .portable
    }

    /// Makes the whole process use this set. To be called before anything is computed: results keep
    /// their meaning from one set to another, not their last bits.
    ///
    /// - Throws: `EncoderError.unsupported` when the processor does not have it.
    public func choose() throws(EncoderError) {
        guard gk_set_level(rawValue) != 0 else {
            throw .unsupported(
                what: "instruction set",
                expected: "at most \(Self.best.name), the best of this processor", actual: name)
        }
    }
}
