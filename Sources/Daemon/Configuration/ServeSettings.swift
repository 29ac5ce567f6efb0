package import Encoders
import JSON
package import Serving

/// The settings that somebody stated, by flags, in the environment or in a file.
package struct ServeSettings: Equatable, Sendable {
    /// By the setting's name.
    private var statements: [String: SettingStatement] = [:]

    package init() {}

    /// What flags state: texts by setting.
    ///
    /// - Throws: `ConfigurationError` for a value that cannot be used.
    package init(
        flags: [(setting: any AnySetting, texts: [String])]
    ) throws(ConfigurationError) {
        for (setting, texts) in flags where !texts.isEmpty {
            try state(
                setting, SettingStatement(texts, of: setting.declaration, .flags))
        }
    }

    /// What the environment states: `GUIDANCED_THREADS` and so on. Of a setting that may be repeated each
    /// line is one value.
    ///
    /// - Throws: `ConfigurationError` for a value that cannot be used.
    package init(environment: (String) -> String?) throws(ConfigurationError) {
        for setting in SettingTable.all {
            let declaration = setting.declaration
            guard let text = environment(declaration.environmentName), !text.isEmpty else {
                continue
            }
            let texts =
                declaration.isRepeated
                ? text.split(separator: "\n").map(String.init) : [text]
            try state(
                setting,
                SettingStatement(texts, of: declaration, .environment(declaration.environmentName)))
        }
    }

    /// A configuration file is this long at most, in bytes.
    package static let longestFile = 1 << 20

    /// Reads a configuration file: one JSON object whose keys are in `SettingTable`.
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
        var settings = ServeSettings()
        try settings.read(document, section: nil, origin)
        return settings
    }

    private mutating func read(
        _ value: JSONValue, section: String?, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) {
        guard let object = value.objectValue else {
            throw ConfigurationError(
                origin, section ?? "", expected: "an object", actual: value.kind)
        }
        let known = SettingTable.all.filter { $0.declaration.section == section }
        let sections =
            section == nil ? Set(SettingTable.all.compactMap(\.declaration.section)) : []
        for (key, member) in object.members {
            if sections.contains(key) {
                try read(member, section: key, origin)
                continue
            }
            guard let setting = known.first(where: { $0.declaration.name == key }) else {
                let names = known.map(\.declaration.name) + sections.sorted()
                throw ConfigurationError(
                    origin, (section.map { $0 + "." } ?? "") + key.prefix(100),
                    expected: "one of \(names.joined(separator: ", "))", actual: "an unknown key")
            }
            let statement = try SettingStatement(member, of: setting.declaration, origin)
            if setting.declaration.name == SettingTable.models.declaration.name,
                statement.entries.isEmpty
            {
                throw ConfigurationError(
                    origin, setting.declaration.field, expected: "at least one model",
                    actual: "an empty object")
            }
            try state(setting, statement)
        }
    }

    private mutating func state(
        _ setting: any AnySetting, _ statement: SettingStatement
    ) throws(ConfigurationError) {
        try setting.check(statement)
        statements[setting.declaration.name] = statement
    }

    /// These settings, and `other`'s where these are silent. Lists are replaced, never joined.
    package func merged(over other: ServeSettings) -> ServeSettings {
        var result = self
        result.statements.merge(other.statements) { own, _ in own }
        return result
    }

    /// What was stated for a setting that may be repeated; `nil` when nobody stated it.
    package func values<Element>(
        _ setting: Setting<Element>
    ) throws(ConfigurationError) -> Stated<[Element]>? {
        guard let statement = statements[setting.declaration.name] else { return nil }
        return try setting.values(statement)
    }

    /// What was stated for a setting of one value; `nil` when nobody stated it.
    package func value<Element>(
        _ setting: Setting<Element>
    ) throws(ConfigurationError) -> Stated<Element>? {
        guard let stated = try values(setting), let value = stated.value.last else { return nil }
        return Stated(value, stated.origin)
    }
}

/// The precisions of one model, or of all that have none of their own.
package struct StatedPrecisions: Equatable, Sendable {
    /// `nil` for all.
    package let model: String?
    /// At least one; the first is the default.
    package let precisions: [Precision]
}

/// The image profile of one model, or of all that have none of their own.
package struct StatedProfile: Equatable, Sendable {
    /// `nil` for all.
    package let model: String?
    package let profile: ImagePreprocessing.Profile
}
