import JSON

/// What PEFT says of an adapter apart from its tensors: in `adapter_config.json`, or in the metadata of
/// a file that diffusers wrote (`lora_base.py`), there with the encoder's name in front.
struct PEFTSettings: Sendable {
    private let fields: JSONObject
    private let path: String
    /// Whether the fields have the encoder's name in front.
    private let isPrefixed: Bool

    static let fileName = "adapter_config.json"
    private static let kinds = ["LORA", "LOHA", "LOKR"]

    /// The settings in a directory; `nil` when it has none.
    ///
    /// - Throws: `EncoderError` when the file is damaged or describes another kind of adapter.
    static func beside(_ files: CheckpointFiles) throws(EncoderError) -> PEFTSettings? {
        guard let value = try files.json(named: fileName) else { return nil }
        let path = files.path(of: fileName)
        guard let fields = value.objectValue else {
            throw .malformed(path: path, offset: 0, expected: "a JSON object", actual: value.kind)
        }
        if let kind = fields["peft_type"]?.stringValue, !kinds.contains(kind) {
            throw .unsupported(
                what: "\(path), peft_type", expected: "one of \(kinds.joined(separator: ", "))",
                actual: kind)
        }
        if fields["fan_in_fan_out"]?.boolValue == true {
            throw .unsupported(
                what: "\(path), fan_in_fan_out", expected: "false", actual: "true")
        }
        return PEFTSettings(fields: fields, path: path, isPrefixed: false)
    }

    /// The settings in a file's metadata; none when it has none.
    static func metadata(of source: any TensorSource) -> PEFTSettings {
        let text = (source as? SafetensorsFile)?.metadata["lora_adapter_metadata"]
        let fields = text.flatMap { try? JSONValue.parse($0) }?.objectValue ?? JSONObject()
        return PEFTSettings(fields: fields, path: source.path, isPrefixed: true)
    }

    /// What the change of a matrix is multiplied by.
    ///
    /// - Parameters:
    ///   - encoder: as diffusers calls it; `nil` where names do not say it.
    ///   - module: the matrix, as transformers calls it.
    ///   - rank: of the factors; `nil` where there are none.
    /// - Throws: `EncoderError.configuration` for a number that is none.
    func scale(
        encoder: String?, module: String, rank: Int?
    ) throws(EncoderError) -> Float {
        let prefix = isPrefixed ? (encoder.map { $0 + "." } ?? "") : ""
        func number(_ pattern: String, _ names: [String]) -> Double? {
            let special = fields[prefix + pattern]?.objectValue?.members.first {
                module == $0.key || module.hasSuffix("." + $0.key)
            }
            return special?.value.doubleValue
                ?? names.lazy.compactMap { fields[prefix + $0]?.doubleValue }.first
        }
        guard let alpha = number("alpha_pattern", ["lora_alpha", "alpha"]) else { return 1 }
        guard alpha.isFinite, abs(alpha) <= 1e6 else {
            throw .configuration(
                path: path, field: prefix + "lora_alpha", expected: "a number up to 1e6",
                actual: "\(alpha)")
        }
        let inner = rank.map(Double.init) ?? number("rank_pattern", ["r"]) ?? 1
        guard inner.isFinite, inner >= 1 else {
            throw .configuration(
                path: path, field: prefix + "r", expected: "a rank from 1 up", actual: "\(inner)")
        }
        let isStabilised = fields[prefix + "use_rslora"]?.boolValue == true
        return Float(alpha / (isStabilised ? inner.squareRoot() : inner))
    }
}
