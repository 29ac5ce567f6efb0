/// What a server accepts. Everything beyond is refused with `too_large` or, for the limits on
/// work in flight, `overloaded`.
public struct Limits: Equatable, Sendable {
    /// Bytes of a header, in requests and replies.
    public var headerBytes = 1 << 20
    /// Bytes of a request id.
    public var idBytes = 128
    /// Bytes of an operation's, a model's or a tensor's name.
    public var nameBytes = 256
    /// Tensors a request.
    public var inputs = 1024
    /// Extents a tensor.
    public var dimensions = 8
    /// Bytes of all tensors of a request together.
    public var requestBytes = 256 << 20
    /// Unanswered requests of one client.
    public var inFlightPerClient = 1024
    /// Unanswered requests of all clients.
    public var inFlight = 8192
    /// Bytes of tensors of all unanswered requests.
    public var inFlightBytes = 2 << 30

    public init() {}
}
