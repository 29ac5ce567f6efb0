import JSON

/// The `warnings` of a reply while they are gathered: at most a few, so that a header full of
/// unknown fields does not come back as a reply full of warnings.
struct Warnings {
    static let limit = 16
    private var sentences: [String] = []
    private var omitted = 0

    mutating func addUnknownField(_ path: String) {
        if sentences.count < Warnings.limit {
            sentences.append("unknown field ignored: \(path)")
        } else {
            omitted += 1
        }
    }

    var list: [String] {
        omitted == 0 ? sentences : sentences + ["\(omitted) more unknown fields ignored"]
    }
}

extension String {
    /// The text, cut to a length that suits a message.
    var clipped: String {
        utf8.count <= 80 ? self : String(unicodeScalars.prefix(60)) + "…"
    }
}

extension JSONObject {
    /// A member's value; `nil` also for `null`, which stands for absence.
    subscript(present key: String) -> JSONValue? {
        guard let value = self[key], value != .null else { return nil }
        return value
    }
}

extension JSONValue {
    /// The value itself where it is short, otherwise its kind, for error messages.
    var summary: String {
        switch self {
        case .string(let text): "\"\(text.clipped)\""
        case .null, .bool, .integer, .number: text()
        case .array(let elements) where elements.count <= 8: text().clipped
        case .array(let elements): "an array of \(elements.count)"
        case .object: "an object"
        }
    }
}

extension JSONValue? {
    var summary: String { self?.summary ?? "nothing" }
}
