import CZeroMQ

/// The bound sockets of a server, in the order in which they are served.
///
/// Removes the socket files and closes the sockets in `deinit`; the context's end then waits for
/// the linger.
final class ServerSockets {
    struct Bound {
        let socket: ZMQSocket
        let endpoint: String
        let isControl: Bool
    }

    let bound: [Bound]
    private var listeners: [UnixListener]

    init(_ configuration: ServerConfiguration) throws(TransportError) {
        let context = try ZMQContext()
        var bound: [Bound] = []
        var listeners: [UnixListener] = []
        var isComplete = false
        defer {
            if !isComplete { for listener in listeners { listener.removeFile() } }
        }
        let endpoints =
            configuration.controlEndpoints.map { ($0, true) }
            + configuration.endpoints.map { ($0, false) }
        if endpoints.isEmpty {
            throw .endpoint("", reason: "a server needs at least one endpoint")
        }
        for (endpoint, isControl) in endpoints {
            let socket = try ServerSockets.makeSocket(context, configuration)
            if let listener = try ServerSockets.bind(socket, to: endpoint) {
                listeners.append(listener)
            }
            bound.append(
                Bound(
                    socket: socket, endpoint: try socket.lastEndpoint(), isControl: isControl))
        }
        isComplete = true
        self.bound = bound
        self.listeners = listeners
    }

    deinit { releaseNames() }

    /// Removes the socket files, so that a successor can bind while the last replies are sent.
    ///
    /// The sockets are not unbound: the library ends a listener's connections together with it,
    /// and replies to them would be lost.
    func releaseNames() {
        // Only once: a successor's file may get the very inode that ours had.
        for listener in listeners { listener.removeFile() }
        listeners = []
    }

    private static func makeSocket(
        _ context: ZMQContext, _ configuration: ServerConfiguration
    ) throws(TransportError) -> ZMQSocket {
        let socket = try ZMQSocket(context, type: ZMQ_ROUTER)
        // Without this, replies to clients that are gone or do not read vanish silently.
        try socket.set(ZMQ_ROUTER_MANDATORY, Int32(1))
        // A client that comes back under a name of its own is served, not ignored.
        try socket.set(ZMQ_ROUTER_HANDOVER, Int32(1))
        try socket.set(ZMQ_SNDHWM, Int32(clamping: configuration.highWaterMark))
        try socket.set(ZMQ_RCVHWM, Int32(clamping: configuration.highWaterMark))
        try socket.set(ZMQ_LINGER, Int32(clamping: configuration.lingerMilliseconds))
        try socket.set(ZMQ_BACKLOG, Int32(1024))
        // A longer frame ends the connection before it is read. Frames up to twice the limit are
        // read and answered with `too_large`.
        let longest = max(configuration.limits.requestBytes, configuration.limits.headerBytes)
        try socket.set(ZMQ_MAXMSGSIZE, Int64(clamping: longest.multipliedClamping(by: 2)))
        return socket
    }

    private static func bind(
        _ socket: ZMQSocket, to endpoint: String
    ) throws(TransportError) -> UnixListener? {
        switch try Endpoint.parse(endpoint) {
        case .ipc(let path):
            let listener = try UnixListener.bind(path: path)
            do throws(TransportError) {
                try socket.set(ZMQ_USE_FD, listener.descriptor)
                try socket.bind(endpoint)
            } catch {
                listener.discard()
                throw error
            }
            return listener
        case .abstract:
            try socket.bind(endpoint)
            return nil
        case .tcp(let host, _):
            if host == "[::1]" { try socket.set(ZMQ_IPV6, Int32(1)) }
            try socket.bind(endpoint)
            return nil
        }
    }
}

extension Int {
    /// The product, or the largest integer when it does not fit.
    fileprivate func multipliedClamping(by factor: Int) -> Int {
        let (product, overflow) = multipliedReportingOverflow(by: factor)
        return overflow ? .max : product
    }
}
