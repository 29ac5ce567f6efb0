/// A setting that cannot be used: where it was made, which it is, what was expected and found.
package struct ConfigurationError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Where a setting comes from.
    package enum Origin: Equatable, Sendable {
        case flags
        case file(String)
        /// A variable of the environment.
        case environment(String)
        /// Nobody stated it.
        case defaults
    }

    package let origin: Origin
    /// The setting by its name there: the flag, or the key such as `limits.requests`; empty for the
    /// whole file.
    package let field: String
    package let expected: String
    package let actual: String

    package init(_ origin: Origin, _ field: String, expected: String, actual: String) {
        self.origin = origin
        self.field = field
        self.expected = expected
        self.actual = actual
    }

    package var description: String {
        let place =
            switch origin {
            case .flags, .defaults: "--" + String(field.map { $0 == "_" ? "-" : $0 })
            case .environment(let name): name
            case .file(let path): field.isEmpty ? path : "\(path): field \"\(field)\""
            }
        return "\(place): expected \(expected), found \(actual)"
    }
}

/// A value and where it was stated.
package struct Stated<Value: Sendable & Equatable>: Sendable, Equatable {
    package let value: Value
    package let origin: ConfigurationError.Origin

    package init(_ value: Value, _ origin: ConfigurationError.Origin) {
        self.value = value
        self.origin = origin
    }
}
