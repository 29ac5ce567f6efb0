/// Learned vectors that stand for a word of a prompt, from a file of any of the usual forms.
///
/// A1111's `.pt` (`string_to_param["*"]`), diffusers' `{token: tensor}` (`.bin`, `.safetensors`),
/// `emb_params` (kohya, A1111), and SDXL's `clip_l` and `clip_g`. A1111's and diffusers' loaders
/// (`textual_inversion.py` of both) are the reference.
public struct TextualInversion: Sendable, Equatable {
    /// The vectors for one text tower.
    public struct Vectors: Sendable, Equatable {
        /// `nil` in a file for pipelines with one text encoder, which does not say which.
        public let role: EncoderRole?
        /// How many tokens the word takes.
        public let count: Int
        /// The text tower's width.
        public let width: Int
        /// [count, width], row-major.
        public let values: [Float]
    }

    /// More tokens than any context has room for.
    public static let maximumCount = 1_024

    /// The names of tensors that say their encoder: SDXL's, and those of diffusers' early scripts for
    /// pivotal tuning.
    private static let roles: [String: EncoderRole] = [
        "clip_l": .clipL, "clip_g": .clipG, "text_encoders_0": .clipL, "text_encoders_1": .clipG,
    ]

    /// For messages.
    public let path: String
    /// The word that the file itself says; `nil` when the file's name is all there is.
    public let name: String?
    /// At least one, each for another role.
    public let vectors: [Vectors]

    /// The vectors for the text tower in a role; those of a file that names no role fit every tower
    /// of their width.
    ///
    /// - Throws: `EncoderError.unsupported` when there are none, or none of this width.
    public func vectors(for role: EncoderRole, width: Int) throws(EncoderError) -> Vectors {
        guard let found = vectors.first(where: { $0.role == role || $0.role == nil }) else {
            throw .unsupported(
                what: "the textual inversion \(path)", expected: "vectors for \(role.rawValue)",
                actual: "vectors for "
                    + vectors.compactMap(\.role?.rawValue).joined(separator: ", "))
        }
        guard found.width == width else {
            throw .unsupported(
                what: "the textual inversion \(path)",
                expected: "vectors \(width) wide, as the text tower of \(role.rawValue)",
                actual: "\(found.width)")
        }
        return found
    }

    /// Reads a file.
    ///
    /// - Throws: `EncoderError` naming what is damaged, or the tensors of a file of another kind.
    public static func open(_ path: String) throws(EncoderError) -> TextualInversion {
        try TextualInversion(bytes: try MappedBytes.map(path: path), path: path)
    }

    /// Reads the bytes of a file.
    ///
    /// - Throws: as `open`.
    public init(bytes: MappedBytes, path: String) throws(EncoderError) {
        try self.init(TensorFile.open(bytes, path: path))
    }

    init(_ source: any TensorSource) throws(EncoderError) {
        path = source.path
        let names = source.tensorNames
        let parameter = "string_to_param."
        if names.contains(where: { Self.roles[$0] != nil }) {
            name = nil
            var found: [Vectors] = []
            for name in names.sorted() {
                guard let role = Self.roles[name] else { continue }
                if let other = found.first(where: { $0.role == role }) {
                    throw .tensor(
                        path: path, name: name, expected: "vectors for each encoder once",
                        actual: "\(other.count) for \(role.rawValue) before")
                }
                found.append(try Self.vectors(source, name, role))
            }
            vectors = found
        } else if names.contains("emb_params") {
            name = nil
            vectors = [try Self.vectors(source, "emb_params", nil)]
        } else if names.contains(where: { $0.hasPrefix(parameter) }) {
            let terms = names.filter { $0.hasPrefix(parameter) }
            guard terms.count == 1 else {
                throw .unsupported(
                    what: "the textual inversion \(path)", expected: "one term",
                    actual: "\(terms.count)")
            }
            name = (source as? TorchFile)?.texts["name"]
            vectors = [try Self.vectors(source, terms[0], nil)]
        } else if names.count == 1 {
            name = names[0] == TorchFile.rootName ? nil : names[0]
            vectors = [try Self.vectors(source, names[0], nil)]
        } else {
            let found = names.prefix(3).map { "\"\($0.prefix(80))\"" }.joined(separator: ", ")
            throw .unsupported(
                what: "the tensors of \(path)",
                expected: "a textual inversion: one tensor, emb_params, string_to_param, or clip_l "
                    + "and clip_g",
                actual: names.isEmpty ? "none" : "\(names.count): \(found)")
        }
    }

    /// Whether a source looks like a textual inversion and like nothing else.
    static func isLikely(_ source: any TensorSource) -> Bool {
        let names = source.tensorNames
        guard names.count <= 8 else { return false }
        let isMarked = names.contains {
            roles[$0] != nil || $0 == "emb_params" || $0.hasPrefix("string_to_param.")
        }
        if isMarked {
            return true
        }
        guard names.count == 1, let shape = source.shape(of: names[0]) else { return false }
        return shape.count == 1 || (shape.count == 2 && shape[0] <= maximumCount)
    }

    private static func vectors(
        _ source: any TensorSource, _ name: String, _ role: EncoderRole?
    ) throws(EncoderError) -> Vectors {
        let shape = source.shape(of: name) ?? []
        let (count, width) = shape.count == 1 ? (1, shape[0]) : (shape.first ?? 0, shape.last ?? 0)
        guard shape.count == 1 || shape.count == 2, (1...maximumCount).contains(count),
            ConfigurationLimits.width.contains(width)
        else {
            throw .tensor(
                path: source.path, name: name,
                expected: "shape [tokens, width] with 1 to \(maximumCount) tokens",
                actual: "shape \(shape)")
        }
        return Vectors(
            role: role, count: count, width: width,
            values: try source.floats(name, shape: shape))
    }
}
