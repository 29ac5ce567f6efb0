/// What can be wrong with an endpoint or a socket.
public enum TransportError: Error, Equatable, Sendable {
    /// An endpoint that cannot be bound or connected, and why.
    case endpoint(String, reason: String)
    /// A call of the messaging library or the operating system that failed.
    case system(call: String, reason: String)
}

extension TransportError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .endpoint(let endpoint, let reason): "endpoint \(endpoint): \(reason)"
        case .system(let call, let reason): "\(call): \(reason)"
        }
    }
}

/// How severe a line of the transport's log is.
public enum LogLevel: String, Sendable { case debug, info, warning, error }

/// Where the transport's log lines go.
public typealias LogSink = @Sendable (LogLevel, String) -> Void
