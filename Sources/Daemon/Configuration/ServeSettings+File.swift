import JSON

extension ServeSettings {
    /// A configuration file is this long at most, in bytes.
    package static let longestFile = 1 << 20

    /// Reads a configuration file: one JSON object whose keys are the flags' names.
    ///
    /// ```json
    /// {"bind": ["ipc:///run/g.sock"], "control": "ipc:///run/g.control",
    ///  "models": {"default": "embedded:default"}, "default_model": "default",
    ///  "loras": {"ink": "ink.safetensors"}, "embeddings": {"<cat>": "cat.pt"},
    ///  "precision": "bf16,int8", "backend": "packed", "threads": 2,
    ///  "limits": {"requests": 256, "queued_bytes": 1073741824,
    ///             "activation_bytes": 1073741824, "conditioning_cache_bytes": 268435456, "encoder_variant_bytes": 4294967296}}
    /// ```
    ///
    /// - Throws: `ConfigurationError` naming file and field for a text that is no JSON object, an
    ///   unknown key, a value of the wrong kind or out of range.
    package static func parse(
        _ bytes: [UInt8], path: String
    ) throws(ConfigurationError) -> ServeSettings {
        let origin = ConfigurationError.Origin.file(path)
        let document: JSONValue
        do throws(JSONError) {
            document = try JSONValue.parse(file: bytes)
        } catch {
            throw ConfigurationError(
                origin, "", expected: "JSON (\(error.expected) at byte \(error.offset))",
                actual: error.actual)
        }
        var reader = try ObjectReader(document, field: "", origin)
        var settings = ServeSettings()
        if let list = try reader.list("bind") {
            var endpoints: [String] = []
            for (index, entry) in list.enumerated() {
                let field = "bind[\(index)]"
                guard let text = entry.stringValue else {
                    throw ConfigurationError(
                        origin, field, expected: "a string", actual: entry.kind)
                }
                endpoints.append(try SettingRules.checkEndpoint(text, field, origin))
            }
            settings.bind = Stated(endpoints, origin)
        }
        if let text = try reader.string("control") {
            settings.control = Stated(
                try SettingRules.checkEndpoint(text, "control", origin), origin)
        }
        if let models = try reader.object("models") {
            settings.models = Stated(try ServeSettings.models(models, origin), origin)
        }
        if let name = try reader.string("default_model") {
            settings.defaultModel = Stated(name, origin)
        }
        if let loras = try reader.object("loras") {
            settings.loras = Stated(
                try ServeSettings.adapters(loras, .lora, "loras", origin), origin)
        }
        if let embeddings = try reader.object("embeddings") {
            settings.embeddings = Stated(
                try ServeSettings.adapters(embeddings, .embedding, "embeddings", origin), origin)
        }
        if let precision = try reader.any("precision") {
            settings.precisions = Stated(try ServeSettings.precisions(precision, origin), origin)
        }
        if let profile = try reader.any("image_profile") {
            settings.imageProfiles = Stated(try ServeSettings.profiles(profile, origin), origin)
        }
        if let backend = try reader.string("backend") {
            settings.backend = Stated(try SettingRules.checkBackend(backend, origin), origin)
        }
        if let name = try reader.string("instructions") {
            settings.instructions = Stated(
                try SettingRules.checkInstructions(name, origin), origin)
        }
        if let threads = try reader.integer("threads", SettingRules.threads) {
            settings.threads = Stated(threads, origin)
        }
        if let limits = try reader.object("limits") {
            var inner = try ObjectReader(.object(limits), field: "limits", origin)
            if let value = try inner.integer("requests", SettingRules.queuedRequests) {
                settings.queuedRequests = Stated(value, origin)
            }
            if let value = try inner.integer("queued_bytes", SettingRules.queuedBytes) {
                settings.queuedBytes = Stated(value, origin)
            }
            if let value = try inner.integer("activation_bytes", SettingRules.activationBudget) {
                settings.activationBudget = Stated(value, origin)
            }
            let bytes = SettingRules.cacheBytes
            if let value = try inner.integer("conditioning_cache_bytes", bytes) {
                settings.conditioningCacheBytes = Stated(value, origin)
            }
            if let value = try inner.integer("encoder_variant_bytes", bytes) {
                settings.encoderVariantBytes = Stated(value, origin)
            }
            try inner.refuseUnknownKeys()
        }
        try reader.refuseUnknownKeys()
        return settings
    }

    /// `"PRECISIONS"`, or `{"NAME": "PRECISIONS"}`.
    private static func precisions(
        _ value: JSONValue, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> [StatedPrecisions] {
        if let text = value.stringValue {
            return [try SettingRules.precisions(text, model: nil, origin)]
        }
        guard let object = value.objectValue else {
            throw ConfigurationError(
                origin, "precision", expected: "a string, or an object of strings by model",
                actual: value.kind)
        }
        var stated: [StatedPrecisions] = []
        for (name, entry) in object.members {
            guard let text = entry.stringValue else {
                throw ConfigurationError(
                    origin, "precision.\(name.prefix(100))", expected: "a string",
                    actual: entry.kind)
            }
            stated.append(
                try SettingRules.precisions(
                    text, model: try SettingRules.checkModelName(name, "precision", origin), origin)
            )
        }
        return stated
    }

    /// `"PROFILE"`, or `{"NAME": "PROFILE"}`.
    private static func profiles(
        _ value: JSONValue, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> [StatedProfile] {
        if let text = value.stringValue {
            return [try SettingRules.imageProfile(text, model: nil, origin)]
        }
        guard let object = value.objectValue else {
            throw ConfigurationError(
                origin, "image_profile", expected: "a string, or an object of strings by model",
                actual: value.kind)
        }
        var stated: [StatedProfile] = []
        for (name, entry) in object.members {
            guard let text = entry.stringValue else {
                throw ConfigurationError(
                    origin, "image_profile.\(name.prefix(100))", expected: "a string",
                    actual: entry.kind)
            }
            stated.append(
                try SettingRules.imageProfile(
                    text, model: try SettingRules.checkModelName(name, "image_profile", origin),
                    origin))
        }
        return stated
    }

    /// `{"NAME": "PATH"}`.
    private static func adapters(
        _ object: JSONObject, _ kind: Adapters.Kind, _ field: String,
        _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> [Adapters.Source] {
        var sources: [Adapters.Source] = []
        for (name, value) in object.members {
            let field = "\(field).\(name.prefix(100))"
            guard let path = value.stringValue, !path.isEmpty else {
                throw ConfigurationError(
                    origin, field, expected: "a path",
                    actual: value.stringValue == nil ? value.kind : "an empty string")
            }
            sources.append(
                Adapters.Source(
                    kind: kind, name: try SettingRules.checkAdapterName(name, field, origin),
                    path: path))
        }
        return sources
    }

    private static func models(
        _ object: JSONObject, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> [ModelRegistry.Source] {
        var sources: [ModelRegistry.Source] = []
        for (name, value) in object.members {
            let field = "models.\(name.prefix(100))"
            guard let path = value.stringValue, !path.isEmpty else {
                throw ConfigurationError(
                    origin, field, expected: "a path",
                    actual: value.stringValue == nil ? value.kind : "an empty string")
            }
            sources.append(
                ModelRegistry.Source(
                    name: try SettingRules.checkModelName(name, field, origin), path: path))
        }
        if sources.isEmpty {
            throw ConfigurationError(
                origin, "models", expected: "at least one model", actual: "an empty object")
        }
        return sources
    }
}

/// Reads an object's members with their types and remembers which were asked for.
private struct ObjectReader {
    private let object: JSONObject
    private let prefix: String
    private let origin: ConfigurationError.Origin
    private var known: [String] = []

    init(
        _ value: JSONValue, field: String, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) {
        guard let object = value.objectValue else {
            throw ConfigurationError(origin, field, expected: "an object", actual: value.kind)
        }
        self.object = object
        self.origin = origin
        prefix = field.isEmpty ? "" : field + "."
    }

    private mutating func value<Value>(
        _ key: String, expected: String, _ convert: (JSONValue) -> Value?
    ) throws(ConfigurationError) -> Value? {
        known.append(key)
        guard let value = object[key] else { return nil }
        guard let converted = convert(value) else {
            throw ConfigurationError(origin, prefix + key, expected: expected, actual: value.kind)
        }
        return converted
    }

    mutating func any(_ key: String) throws(ConfigurationError) -> JSONValue? {
        try value(key, expected: "a value") { $0 }
    }

    mutating func string(_ key: String) throws(ConfigurationError) -> String? {
        try value(key, expected: "a string") { $0.stringValue }
    }

    mutating func object(_ key: String) throws(ConfigurationError) -> JSONObject? {
        try value(key, expected: "an object") { $0.objectValue }
    }

    /// A list with at least one entry.
    mutating func list(_ key: String) throws(ConfigurationError) -> [JSONValue]? {
        let list = try value(key, expected: "an array of strings") { $0.arrayValue }
        if let list, list.isEmpty {
            throw ConfigurationError(
                origin, prefix + key, expected: "at least one entry", actual: "an empty array")
        }
        return list
    }

    mutating func integer(
        _ key: String, _ range: ClosedRange<Int>
    ) throws(ConfigurationError) -> Int? {
        let number = try value(key, expected: "an integer") { $0.doubleValue == nil ? nil : $0 }
        guard let number else { return nil }
        guard let integer = number.intValue else {
            throw ConfigurationError(
                origin, prefix + key, expected: "an integer", actual: number.text())
        }
        return try SettingRules.checkRange(integer, range, prefix + key, origin)
    }

    func refuseUnknownKeys() throws(ConfigurationError) {
        if let key = object.keys.first(where: { !known.contains($0) }) {
            throw ConfigurationError(
                origin, prefix + key.prefix(100),
                expected: "one of \(known.joined(separator: ", "))", actual: "an unknown key")
        }
    }
}
