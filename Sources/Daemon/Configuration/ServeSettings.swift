/// The settings that somebody stated, by flags or in a file; `nil` for those that nobody did.
package struct ServeSettings: Equatable, Sendable {
    package var bind: Stated<[String]>?
    package var control: Stated<String>?
    package var models: Stated<[ModelRegistry.Source]>?
    package var defaultModel: Stated<String>?
    package var loras: Stated<[Adapters.Source]>?
    package var embeddings: Stated<[Adapters.Source]>?
    package var threads: Stated<Int>?
    package var queuedRequests: Stated<Int>?
    package var queuedBytes: Stated<Int>?
    package var conditioningCacheBytes: Stated<Int>?
    package var encoderVariantBytes: Stated<Int>?

    package init() {}

    /// These settings, and `other`'s where these are silent. Lists are replaced, never joined.
    package func merged(over other: ServeSettings) -> ServeSettings {
        var result = self
        result.bind = bind ?? other.bind
        result.control = control ?? other.control
        result.models = models ?? other.models
        result.defaultModel = defaultModel ?? other.defaultModel
        result.loras = loras ?? other.loras
        result.embeddings = embeddings ?? other.embeddings
        result.threads = threads ?? other.threads
        result.queuedRequests = queuedRequests ?? other.queuedRequests
        result.queuedBytes = queuedBytes ?? other.queuedBytes
        result.conditioningCacheBytes = conditioningCacheBytes ?? other.conditioningCacheBytes
        result.encoderVariantBytes = encoderVariantBytes ?? other.encoderVariantBytes
        return result
    }
}

/// What every setting must be like, whether it comes from a flag or from a file.
package enum SettingRules {
    package static let threads = 1...1024
    package static let queuedRequests = 1...1_000_000
    package static let queuedBytes = 1...(1 << 50)
    /// 0 keeps nothing.
    package static let cacheBytes = 0...(1 << 50)
    /// The only precision there is so far.
    package static let precisions = ["f32"]

    package static func checkEndpoint(
        _ endpoint: String, _ field: String, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> String {
        guard isEndpoint(endpoint) else {
            throw ConfigurationError(
                origin, field, expected: "ipc://PATH or tcp://HOST:PORT", actual: quoted(endpoint))
        }
        return endpoint
    }

    /// Whether a text names its transport; the transport itself checks the rest.
    package static func isEndpoint(_ text: String) -> Bool {
        ["ipc://", "tcp://"].contains { text.hasPrefix($0) && text.utf8.count > $0.utf8.count }
    }

    package static func checkRange(
        _ value: Int, _ range: ClosedRange<Int>, _ field: String,
        _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> Int {
        guard range.contains(value) else {
            throw ConfigurationError(
                origin, field, expected: "\(range.lowerBound)…\(range.upperBound)",
                actual: "\(value)")
        }
        return value
    }

    package static func checkPrecision(
        _ name: String, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) {
        guard precisions.contains(name) else {
            throw ConfigurationError(
                origin, "precision",
                expected: "\(precisions.joined(separator: " or ")) (the only one of this version)",
                actual: quoted(name))
        }
    }

    package static func checkModelName(
        _ name: String, _ field: String, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> String {
        guard isModelName(name) else {
            throw ConfigurationError(
                origin, field,
                expected: "a name of 1…128 letters, digits, \".\", \"_\", \"-\"",
                actual: quoted(name))
        }
        return name
    }

    package static func isModelName(_ name: String) -> Bool {
        (1...128).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
                    UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }

    /// What a textual inversion or a LoRA may be called.
    package static let adapterNames = "a name of 1…128 bytes without white space"

    package static func isAdapterName(_ name: String) -> Bool {
        (1...128).contains(name.utf8.count)
            && name.unicodeScalars.allSatisfy {
                !$0.properties.isWhitespace && $0.properties.generalCategory != .control
            }
    }

    package static func checkAdapterName(
        _ name: String, _ field: String, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> String {
        guard isAdapterName(name) else {
            throw ConfigurationError(
                origin, field, expected: adapterNames, actual: quoted(name))
        }
        return name
    }

    package static func quoted(_ text: String) -> String {
        "\"\(text.prefix(200))\(text.count > 200 ? "…" : "")\""
    }
}
