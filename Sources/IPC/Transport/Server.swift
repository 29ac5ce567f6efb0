/// The daemon's end of the wire: owns every socket on the thread that calls `run()`.
public final class Server: Sendable {
    /// The endpoints as bound, wildcard ports resolved; control endpoints last.
    public let boundEndpoints: [String]

    /// Binds the endpoints.
    ///
    /// - Parameters:
    ///   - abandoned: called on the socket thread for requests in flight whose client is gone;
    ///     replies to them are no longer needed.
    ///   - handler: called on the socket thread for each request; must not block.
    /// - Throws: `TransportError.endpoint` for an address that is malformed, not local, or in use.
    public init(
        configuration: ServerConfiguration, log: @escaping LogSink = { _, _ in },
        abandoned: @escaping @Sendable (ClientAddress, _ id: String) -> Void = { _, _ in },
        handler: @escaping @Sendable (Request) -> Void
    ) throws(TransportError) {
        boundEndpoints = configuration.endpoints + configuration.controlEndpoints
    }

    /// Serves until `stop`; blocks the calling thread, which should do nothing else.
    public func run() {}

    /// Answers a request; from any thread, without blocking.
    public func reply(_ reply: Reply, to client: ClientAddress) {}

    /// Ends `run()`. With `drain`, new work is refused with `shutting_down` and requests in flight
    /// are answered first; without, they are answered with `shutting_down` at once. From any thread,
    /// and again without `drain` to cut a draining short.
    public func stop(drain: Bool) {}

    public var counters: ServerCounters { ServerCounters() }
}
