/// An input file that cannot be used, before its content is looked at.
package enum InputFileError: Error, Equatable, Sendable, CustomStringConvertible {
    case unreadable(path: String, reason: String)
    case tooLarge(path: String, limit: Int)
    case malformed(path: String, reason: String)

    /// Whether the file is there, and its content is at fault.
    package var isContentAtFault: Bool { if case .unreadable = self { false } else { true } }

    package var path: String {
        switch self {
        case .unreadable(let path, _), .tooLarge(let path, _), .malformed(let path, _): path
        }
    }

    /// What is wrong, without the path.
    package var reason: String {
        switch self {
        case .unreadable(_, let reason), .malformed(_, let reason): reason
        case .tooLarge(_, let limit): "the file has more than \(limit) bytes"
        }
    }

    package var description: String { "\(path): \(reason)" }
}

/// Nobody answers at an endpoint.
package struct NoDaemon: Error, Equatable, Sendable, CustomStringConvertible {
    package let endpoint: String
    package let reason: String

    package init(endpoint: String, reason: String) {
        self.endpoint = endpoint
        self.reason = reason
    }

    package var description: String {
        "no daemon at \(endpoint) (\(reason)); start one with "
            + "`guidanced serve --bind \(endpoint)`"
    }
}

/// Arguments that cannot be used together, found after parsing.
package struct UsageError: Error, Equatable, Sendable, CustomStringConvertible {
    package let description: String
    package init(_ description: String) { self.description = description }
}
