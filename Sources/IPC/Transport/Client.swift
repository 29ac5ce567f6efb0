import CZeroMQ
public import JSON
import System

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
    private let socket: ZMQSocket
    private let limits: Limits
    private var calls = 0

    /// Frames that a reply may have.
    private static let frameLimit = 4096

    /// Connects.
    ///
    /// - Parameter timeoutMilliseconds: how long `call` waits unless told otherwise.
    /// - Throws: `TransportError.endpoint` for a malformed endpoint, or an `ipc://` one that
    ///   nobody listens on.
    public init(
        endpoint: String, timeoutMilliseconds: Int = 30_000, limits: Limits = Limits()
    ) throws(TransportError) {
        let address = try Endpoint.parse(endpoint)
        if case .ipc(let path) = address,
            let reason = UnixListener.unreachableReason(path: path)
        {
            throw .endpoint(endpoint, reason: reason)
        }
        self.endpoint = endpoint
        self.timeoutMilliseconds = timeoutMilliseconds
        self.limits = limits
        socket = try ZMQSocket(try ZMQContext(), type: ZMQ_DEALER)
        try socket.set(ZMQ_LINGER, Int32(0))
        if case .tcp("[::1]", _) = address { try socket.set(ZMQ_IPV6, Int32(1)) }
        try socket.connect(endpoint)
    }

    /// Sends a request and waits for its final reply, which has status `ok`.
    ///
    /// - Parameters:
    ///   - timeoutMilliseconds: for this call; each partial reply starts it anew.
    ///   - onPartial: called with each `partial` reply.
    public func call(
        op: String, model: String? = nil, params: JSONObject = JSONObject(),
        inputs: [Input] = [], deadlineMilliseconds: Int? = nil, priority: Int = 0,
        timeoutMilliseconds: Int? = nil, onPartial: (Reply) -> Void = { _ in }
    ) throws(ClientError) -> Reply {
        calls += 1
        let request = Request(
            id: "c\(calls)", op: op, model: model, deadlineMilliseconds: deadlineMilliseconds,
            priority: priority, params: params, inputs: inputs)
        let timeout = timeoutMilliseconds ?? self.timeoutMilliseconds
        let timedOut = ClientError.timeout(op: op, endpoint: endpoint, milliseconds: timeout)
        switch socket.send(MessageCodec.encode(request)) {
        case .sent: break
        case .full, .unreachable: throw timedOut
        case .failed(let reason):
            throw .transport(.system(call: "zmq_msg_send", reason: reason))
        }
        var deadline = Client.deadline(after: timeout)
        while true {
            guard let reply = try receive(before: deadline) else { throw timedOut }
            // Anything else answers a call that has timed out.
            guard reply.id == request.id || (reply.id == nil && reply.status == .error) else {
                continue
            }
            switch reply.status {
            case .ok: return reply
            case .error: throw .refused(reply.error ?? WireFault(.internal, "no error given"))
            case .partial:
                onPartial(reply)
                deadline = Client.deadline(after: timeout)
            }
        }
    }

    private static func deadline(after milliseconds: Int) -> UInt64 {
        monotonicNow() + UInt64(min(max(milliseconds, 0), Int(Int32.max))) * 1_000_000
    }

    private func receive(before deadline: UInt64) throws(ClientError) -> Reply? {
        while true {
            if let incoming = try receive() {
                if incoming.droppedFrames > 0 {
                    throw .malformedReply("more than \(Client.frameLimit) frames")
                }
                return try decode(incoming.frames)
            }
            let now = monotonicNow()
            if now >= deadline { return nil }
            // Rounded up, so that the last wait does not end before the deadline.
            let wait = (deadline - now + 999_999) / 1_000_000
            var item = zmq_pollitem_t(
                socket: socket.handle, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0)
            if zmq_poll(&item, 1, Int(clamping: wait)) < 0, zmq_errno() != EINTR {
                throw .transport(.system(call: "zmq_poll", reason: ZMQSocket.reason()))
            }
        }
    }

    private func receive() throws(ClientError) -> ZMQSocket.Incoming? {
        do throws(TransportError) {
            return try socket.receive(frameLimit: Client.frameLimit)
        } catch {
            throw .transport(error)
        }
    }

    private func decode(_ frames: [Frame]) throws(ClientError) -> Reply {
        do throws(WireFault) {
            return try MessageCodec.decodeReply(frames, limits: limits)
        } catch {
            throw .malformedReply("\(error)")
        }
    }
}
