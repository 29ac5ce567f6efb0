/// What went wrong, as clients branch on it; the raw values are the wire's names.
public enum ErrorCode: String, CaseIterable, Sendable {
    /// Frame 0 is not a version of the protocol that is spoken here.
    case unsupportedVersion = "unsupported_version"
    /// The header or a parameter is malformed, missing or out of range.
    case badRequest = "bad_request"
    case unknownOp = "unknown_op"
    case unknownModel = "unknown_model"
    /// A declared tensor and its frame disagree, or its shape or type does not serve the operation.
    case badTensor = "bad_tensor"
    /// An image that cannot be decoded, or whose content cannot be used.
    case badImage = "bad_image"
    case tooLarge = "too_large"
    case promptTooLong = "prompt_too_long"
    /// The queue is full; `retry_after_ms` says when to try again.
    case overloaded
    case deadlineExceeded = "deadline_exceeded"
    case cancelled
    case shuttingDown = "shutting_down"
    case unauthorized
    /// A fault of the daemon, not of the request.
    case `internal`
}

/// One failure as the wire carries it: `{code, message, field?, retry_after_ms?}`.
public struct WireFault: Error, Equatable, Sendable {
    public var code: ErrorCode
    /// For people: what was expected and what was found.
    public var message: String
    /// The header field, parameter or tensor at fault, such as `params.metric` or `inputs[2].shape`.
    public var field: String?
    /// When another attempt may succeed, in milliseconds from now.
    public var retryAfterMilliseconds: Int?

    public init(
        _ code: ErrorCode, _ message: String, field: String? = nil,
        retryAfterMilliseconds: Int? = nil
    ) {
        self.code = code
        self.message = message
        self.field = field
        self.retryAfterMilliseconds = retryAfterMilliseconds
    }
}

extension WireFault: CustomStringConvertible {
    public var description: String {
        let place = field.map { " (\($0))" } ?? ""
        let hint = retryAfterMilliseconds.map { "; retry after \($0) ms" } ?? ""
        return "\(code.rawValue): \(message)\(place)\(hint)"
    }
}
