/// Where a server listens and what it accepts.
public struct ServerConfiguration: Sendable {
    /// `ipc:///path`, `ipc://@abstract-name`, `tcp://127.0.0.1:PORT`, `tcp://[::1]:PORT`; a port
    /// may be `*` for any free one.
    public var endpoints: [String]
    /// Endpoints of the same kinds that are served first, so that they answer under load.
    public var controlEndpoints: [String]
    public var limits: Limits
    /// Replies that may wait for a slow reader beyond what the transport holds.
    public var outboxReplies = 65_536
    /// Bytes of such replies.
    public var outboxBytes = 1 << 30
    /// Bytes of the waiting replies of all clients together.
    public var outboxBytesInAll = 2 << 30
    /// Bytes of large replies that the transport holds for one client, and for all together: more wait
    /// in the outbox. One reply may be larger.
    public var lentBytes = 256 << 20
    public var lentBytesInAll = 2 << 30
    /// Messages that the transport holds for one peer in each direction.
    public var highWaterMark = 64
    /// How long unsent replies are kept for their readers when the server stops, in milliseconds.
    public var lingerMilliseconds = 2000

    public init(
        endpoints: [String], controlEndpoints: [String] = [], limits: Limits = Limits()
    ) {
        self.endpoints = endpoints
        self.controlEndpoints = controlEndpoints
        self.limits = limits
    }
}

/// What a server has done since it started.
public struct ServerCounters: Equatable, Sendable {
    /// Messages received, well-formed or not.
    public var received = 0
    /// Requests handed to the handler.
    public var dispatched = 0
    /// Requests refused before they reached the handler.
    public var refused = 0
    /// Repeated ids that joined a request in flight.
    public var joined = 0
    /// Replies handed to the transport, partial ones included.
    public var sent = 0
    /// Replies to requests that were not in flight.
    public var unmatchedReplies = 0
    /// Replies whose client had gone.
    public var unreachableReplies = 0
    /// Replies dropped because their client did not read.
    public var overflowedReplies = 0
    /// Requests in flight now.
    public var inFlight = 0
    /// Bytes of replies that the transport holds now, and that wait for it.
    public var lentBytes = 0
    public var waitingBytes = 0

    public init() {}
}
