/// Everything that can go wrong between bytes from outside and an embedding.
///
/// Each case says where (path, tensor, field), what was expected and what came. The text is made
/// in one place, `description`; callers map cases, never texts, to their own error codes.
public enum EncoderError: Error, Equatable, Sendable {
    /// A file or directory that is missing or cannot be read.
    case file(path: String, reason: String)
    /// A container or document whose bytes are damaged. `offset` is in bytes where one is known.
    case malformed(path: String, offset: Int?, expected: String, actual: String)
    /// A tensor that is missing, has another shape or datatype, or holds what it must not.
    case tensor(path: String, name: String, expected: String, actual: String)
    /// A field of a configuration file that is missing or out of range.
    case configuration(path: String, field: String, expected: String, actual: String)
    /// An encoded image that cannot be decoded, pixels that cannot be used, or what they come to.
    case image(expected: String, actual: String)
    /// A text that comes to nothing that can be used.
    case text(expected: String, actual: String)
    /// An image or document over a stated limit (a decompression bomb, for one).
    case tooLarge(what: String, limit: Int, actual: Int)
    /// A prompt with more tokens than the text tower has positions; `excess` is the text that
    /// does not fit.
    case promptTooLong(tokens: Int, limit: Int, excess: String)
    /// Something well-formed that this build or this checkpoint cannot do.
    case unsupported(what: String, expected: String, actual: String)
}

extension EncoderError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .file(let path, let reason):
            "\(path): \(reason)"
        case .malformed(let path, let offset, let expected, let actual):
            "\(path)\(offset.map { ", byte \($0)" } ?? ""): expected \(expected), found \(actual)"
        case .tensor(let path, let name, let expected, let actual):
            "\(path): tensor \"\(name)\": expected \(expected), found \(actual)"
        case .configuration(let path, let field, let expected, let actual):
            "\(path): field \"\(field)\": expected \(expected), found \(actual)"
        case .image(let expected, let actual):
            "image: expected \(expected), found \(actual)"
        case .text(let expected, let actual):
            "text: expected \(expected), found \(actual)"
        case .tooLarge(let what, let limit, let actual):
            "\(what): at most \(limit) allowed, found \(actual)"
        case .promptTooLong(let tokens, let limit, let excess):
            "the prompt has \(tokens) tokens and the text tower takes \(limit); "
                + "this does not fit: \"\(excess.prefix(200))\"\(excess.count > 200 ? "…" : "")"
        case .unsupported(let what, let expected, let actual):
            "\(what): expected \(expected), found \(actual)"
        }
    }
}
