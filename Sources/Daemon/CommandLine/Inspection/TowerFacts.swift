import Encoders
import JSON

/// One encoder in the report of `guidanced models inspect`.
struct TowerFacts {
    private let role: EncoderRole
    private let configuration: CLIPConfiguration
    private let storage: [CheckpointReport.Storage]
    private let tokenizer: String?
    private let preprocessing: String?
    private let profile: ImagePreprocessing.Profile?
    private var parameters: Int { storage.reduce(0) { $0 + $1.parameters } }

    /// - Throws: `EncoderError` when the tokenizer's or preprocessor's files are damaged.
    init(_ tower: CheckpointTower) throws(EncoderError) {
        role = tower.role
        storage = tower.storage()
        tokenizer = try tower.tokenizerOrigin()
        preprocessing = try tower.preprocessingOrigin()
        profile = try tower.preprocessing()?.profile
        var configuration = tower.configuration
        if let tokenizer = try tower.tokenizer() { configuration.text?.take(tokenizer) }
        self.configuration = configuration
    }

    var text: String {
        let stored = storage.map {
            "\($0.type.rawValue) \(VerificationReport.grouped($0.parameters))"
        }
        var facts = [("stored as", stored.joined(separator: ", "))]
        if let sizes = configuration.text {
            facts += [
                (
                    "text tower",
                    shape(
                        sizes.layers, sizes.width, sizes.heads, sizes.mlpWidth, sizes.activation)
                ),
                (
                    "tokens",
                    "\(sizes.vocabularySize) ids, context \(sizes.contextLength), "
                        + "padded with \(sizes.padToken)"
                ), ("text projection", sizes.projection.map(String.init) ?? "none"),
                ("tokenizer", tokenizer ?? "none: \(sizes.missingTokenizer)"),
            ]
        }
        if let sizes = configuration.vision {
            facts += [
                (
                    "image tower",
                    shape(
                        sizes.layers, sizes.width, sizes.heads, sizes.mlpWidth, sizes.activation)
                ), ("images", "\(sizes.imageSize) px, patch \(sizes.patchSize)"),
                ("image projection", sizes.projection.map(String.init) ?? "none"),
                ("preprocessing", preprocessing ?? "none"),
                ("image profile", profile?.rawValue ?? "none"),
            ]
        }
        return "\(role.rawValue): \(VerificationReport.grouped(parameters)) parameters\n"
            + VerificationReport.facts(facts)
    }

    var json: JSONValue {
        [
            "role": .string(role.rawValue), "parameters": .integer(parameters),
            "storage": .array(
                storage.map {
                    [
                        "type": .string($0.type.rawValue), "tensors": .integer($0.tensors),
                        "parameters": .integer($0.parameters),
                    ]
                }), "text": configuration.text.map { .object($0.json) } ?? .null,
            "image": configuration.vision.map { .object($0.json) } ?? .null,
            "tokenizer": tokenizer.map { .string($0) } ?? .null,
            "preprocessing": preprocessing.map { .string($0) } ?? .null,
            "image_profile": profile.map { .string($0.rawValue) } ?? .null,
        ]
    }

    private func shape(
        _ layers: Int, _ width: Int, _ heads: Int, _ mlp: Int, _ activation: Activation
    ) -> String {
        "\(layers) × \(width), \(heads) heads, MLP \(mlp), \(activation.rawValue)"
    }
}
