import Synchronization

/// Runs a piece of work on another thread, soon, and returns at once.
public typealias Background = @Sendable (@escaping @Sendable () -> Void) -> Void

/// The daemon's end of the wire: owns every socket on the thread that calls `run()`.
public final class Server: @unchecked Sendable {
    // Invariant: `loop` is reached only through `hasRun`, so by one thread once; everything else
    // is immutable or synchronised by itself.
    private var loop: SocketLoop?
    private let hasRun = Atomic(false)
    private let mailbox: Mailbox
    private let limits: Limits

    /// The endpoints as bound, wildcard ports resolved; control endpoints last.
    public let boundEndpoints: [String]

    /// Binds the endpoints. Clients may connect from now on, and are served once `run()` is called.
    ///
    /// - Parameters:
    ///   - log: called on the socket thread; must not block.
    ///   - abandoned: called on the socket thread for requests in flight that nobody waits for any
    ///     more; replies to them are dropped.
    ///   - handler: called on the socket thread for each request; must not block. It owes each
    ///     request one final `reply`, at once or later.
    ///   - background: takes what would keep the socket thread: reading hundreds of megabytes of a
    ///     request that may be a repeated one. Without it, that is done on the socket thread.
    /// - Throws: `TransportError.endpoint` for an address that is malformed, not local, or in use.
    public init(
        configuration: ServerConfiguration, log: @escaping LogSink = { _, _ in },
        abandoned: @escaping @Sendable (ClientAddress, _ id: String) -> Void = { _, _ in },
        handler: @escaping @Sendable (Request) -> Void,
        background: @escaping Background = { $0() }
    ) throws(TransportError) {
        let sockets = try ServerSockets(configuration)
        limits = configuration.limits
        mailbox = try Mailbox()
        boundEndpoints =
            sockets.bound.filter { !$0.isControl }.map(\.endpoint)
            + sockets.bound.filter(\.isControl).map(\.endpoint)
        loop = SocketLoop(
            sockets: sockets, mailbox: mailbox, configuration: configuration, log: log,
            abandoned: abandoned, handler: handler, background: background)
    }

    /// Serves until `stop`; blocks the calling thread, which should do nothing else. When it
    /// returns, the endpoints are free and replies have been sent, or their linger is over. A
    /// second call returns at once.
    public func run() {
        if hasRun.exchange(true, ordering: .acquiringAndReleasing) { return }
        loop?.run()
        loop = nil
    }

    /// Answers a request; from any thread, without blocking. The reply is encoded on the calling
    /// thread. Replies to requests that are not in flight are dropped and counted.
    public func reply(_ reply: Reply, to client: ClientAddress) {
        mailbox.post(MessageCodec.encode(reply, limits: limits), to: client)
    }

    /// Ends `run()`. With `drain`, new work is refused with `shutting_down` while requests in
    /// flight are answered first; without, they are answered with `shutting_down` at once. From
    /// any thread, and again without `drain` to cut a draining short.
    public func stop(drain: Bool) {
        mailbox.requestStop(drain ? .drain : .now)
    }

    /// What the server has done so far.
    public var counters: ServerCounters { mailbox.counters }
}
