import JSON
package import Serving

/// What there is to know of a setting, declared once: its flag, its key in a configuration file, its
/// environment variable, its help, its line in docs/command-line.md and how each is read.
package struct Setting<Element: Sendable & Equatable>: Sendable {
    package let declaration: SettingDeclaration
    /// Makes a value of one entry.
    fileprivate let parse:
        @Sendable (SettingStatement.Entry, ConfigurationError.Origin)
            throws(ConfigurationError) -> Element

    package init(
        _ declaration: SettingDeclaration,
        parse:
            @escaping @Sendable (SettingStatement.Entry, ConfigurationError.Origin)
            throws(ConfigurationError) -> Element
    ) {
        self.declaration = declaration
        self.parse = parse
    }

    /// All values of a statement.
    func values(
        _ statement: SettingStatement
    ) throws(ConfigurationError) -> Stated<[Element]> {
        var values: [Element] = []
        for entry in statement.entries { values.append(try parse(entry, statement.origin)) }
        return Stated(values, statement.origin)
    }
}

/// A setting without the type of its values, for tables of them.
package protocol AnySetting: Sendable {
    var declaration: SettingDeclaration { get }
    func check(_ statement: SettingStatement) throws(ConfigurationError)
}

extension Setting: AnySetting {
    package func check(_ statement: SettingStatement) throws(ConfigurationError) {
        _ = try values(statement)
    }
}

/// The name, form and description of a setting.
package struct SettingDeclaration: Sendable {
    package enum Form: Sendable {
        /// `--flag VALUE`, `"key": "VALUE"`.
        case text
        /// `--flag NUMBER`, `"key": NUMBER`.
        case number
        /// `--flag VALUE`…, `"key": ["VALUE", …]`.
        case list
        /// `--flag NAME=VALUE`…, `"key": {"NAME": "VALUE"}`.
        case named
        /// `--flag [NAME=]VALUE`…, `"key": "VALUE"` or `{"NAME": "VALUE"}`: of all models, or of one.
        case perModel
    }

    /// The key in a configuration file.
    package let name: String
    /// The object of the file that the key stands in; `nil` for the file's own.
    package let section: String?
    /// Without its dashes.
    package let flag: String
    /// What the flag was called before.
    package let formerFlags: [String]
    package let form: Form
    /// What stands for a value in help.
    package let placeholder: String
    /// One sentence, without what happens when nobody states it.
    package let help: String
    /// What holds when nobody states it.
    package let fallback: String

    /// - Parameter flag: the key with dashes unless it is given: of what may be stated several times, the
    ///   key is the plural.
    package init(
        _ name: String, in section: String? = nil, flag: String? = nil, formerly: [String] = [],
        form: Form, placeholder: String, fallback: String, help: String
    ) {
        self.name = name
        self.section = section
        self.flag = flag ?? String(name.map { $0 == "_" ? "-" : $0 })
        formerFlags = formerly
        self.form = form
        self.placeholder = placeholder
        self.help = help
        self.fallback = fallback
    }

    /// The key with its section, as errors name it.
    package var field: String { section.map { "\($0).\(name)" } ?? name }
    package var environmentName: String { "GUIDANCED_" + name.uppercased() }

    /// The flag as usage and documentation write it.
    package var usage: String {
        switch form {
        case .text, .number: "--\(flag) \(placeholder)"
        case .list: "--\(flag) \(placeholder)…"
        case .named: "--\(flag) NAME=\(placeholder)…"
        case .perModel: "--\(flag) [NAME=]\(placeholder)…"
        }
    }

    /// What the setting is called where it was stated.
    package func place(in origin: ConfigurationError.Origin) -> String {
        switch origin {
        case .flags, .defaults: flag
        case .file, .environment: field
        }
    }

    /// A setting that was read and cannot be used; one that nobody stated counts as a flag.
    package func error(
        _ origin: ConfigurationError.Origin?, expected: String, actual: String
    ) -> ConfigurationError {
        let origin = origin ?? .defaults
        return ConfigurationError(
            origin, place(in: origin), expected: expected, actual: actual)
    }

    /// Whether it can be stated several times.
    package var isRepeated: Bool {
        switch form {
        case .text, .number: false
        case .list, .named, .perModel: true
        }
    }
}

/// What somebody stated for one setting, not read yet.
package struct SettingStatement: Equatable, Sendable {
    package struct Entry: Equatable, Sendable {
        /// Of named values and those of one model.
        package let name: String?
        package let text: String
        /// The place, as errors name it.
        package let field: String
    }

    package let entries: [Entry]
    package let origin: ConfigurationError.Origin

    /// From flags, or from lines of an environment variable.
    ///
    /// - Throws: `ConfigurationError` for a named value without its name.
    init(
        _ texts: [String], of setting: SettingDeclaration, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) {
        var entries: [Entry] = []
        for text in texts {
            var name: String?
            var value = text
            if setting.form == .named || setting.form == .perModel,
                let sign = text.firstIndex(of: "=")
            {
                name = String(text[..<sign])
                value = String(text[text.index(after: sign)...])
            }
            if setting.form == .named, name == nil || value.isEmpty {
                throw setting.error(
                    origin, expected: "NAME=\(setting.placeholder)",
                    actual: SettingRules.quoted(text))
            }
            entries.append(Entry(name: name, text: value, field: setting.place(in: origin)))
        }
        // Of what has one value the last word counts.
        self.entries = setting.isRepeated ? entries : Array(entries.suffix(1))
        self.origin = origin
    }

    /// From a member of a configuration file.
    ///
    /// - Throws: `ConfigurationError` for a value of another kind.
    init(
        _ value: JSONValue, of setting: SettingDeclaration, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) {
        let field = setting.field
        func string(_ value: JSONValue, _ field: String) throws(ConfigurationError) -> String {
            guard let text = value.stringValue else {
                throw ConfigurationError(origin, field, expected: "a string", actual: value.kind)
            }
            return text
        }
        var entries: [Entry] = []
        switch (setting.form, value) {
        case (.number, _):
            guard let number = value.intValue else {
                throw ConfigurationError(
                    origin, field, expected: "an integer",
                    actual: value.doubleValue.map { "\($0)" } ?? value.kind)
            }
            entries.append(Entry(name: nil, text: "\(number)", field: field))
        case (.list, .array(let list)) where !list.isEmpty:
            for (index, element) in list.enumerated() {
                let field = "\(field)[\(index)]"
                entries.append(Entry(name: nil, text: try string(element, field), field: field))
            }
        case (.list, _):
            throw ConfigurationError(
                origin, field, expected: "a list of at least one string", actual: value.kind)
        case (.named, .object(let object)), (.perModel, .object(let object)):
            for (name, element) in object.members {
                let field = "\(field).\(name.prefix(100))"
                let text = try string(element, field)
                guard !text.isEmpty else {
                    throw ConfigurationError(
                        origin, field, expected: "a \(setting.placeholder.lowercased())",
                        actual: "an empty string")
                }
                entries.append(Entry(name: name, text: text, field: field))
            }
        case (.named, _):
            throw ConfigurationError(origin, field, expected: "an object", actual: value.kind)
        case (.perModel, .string(let text)), (.text, .string(let text)):
            entries.append(Entry(name: nil, text: text, field: field))
        case (.perModel, _):
            throw ConfigurationError(
                origin, field, expected: "a string, or an object of strings by model",
                actual: value.kind)
        case (.text, _):
            throw ConfigurationError(origin, field, expected: "a string", actual: value.kind)
        }
        self.entries = entries
        self.origin = origin
    }
}
