public import JSON

/// A request whose header and tensors have been checked: every input's frame is as long as its
/// shape and datatype say. Whether `op`, `model` and `params` mean anything is the handler's to say.
public struct Request: Sendable {
    public var client: ClientAddress
    /// Chosen by the client: 1…128 bytes of UTF-8.
    public var id: String
    public var op: String
    /// The model's name; `nil` for the daemon's default.
    public var model: String?
    /// How long the client will wait, in milliseconds from `receivedAt`.
    public var deadlineMilliseconds: Int?
    /// −100…100, 0 by default; higher is more urgent.
    public var priority: Int
    public var params: JSONObject
    public var inputs: [Input]
    /// What was ignored, one sentence each; carried into the reply by `Reply`'s initialisers.
    public var warnings: [String]
    /// When the request was received: monotonic nanoseconds.
    public var receivedAt: UInt64
    /// Whether it came through a control endpoint.
    public var isControl: Bool

    public init(
        client: ClientAddress = ClientAddress(socket: 0, routingID: []), id: String, op: String,
        model: String? = nil, deadlineMilliseconds: Int? = nil, priority: Int = 0,
        params: JSONObject = JSONObject(), inputs: [Input] = [], warnings: [String] = [],
        receivedAt: UInt64 = 0, isControl: Bool = false
    ) {
        self.client = client
        self.id = id
        self.op = op
        self.model = model
        self.deadlineMilliseconds = deadlineMilliseconds
        self.priority = priority
        self.params = params
        self.inputs = inputs
        self.warnings = warnings
        self.receivedAt = receivedAt
        self.isControl = isControl
    }

    /// When the client stops waiting, in monotonic nanoseconds; `nil` when it set no deadline.
    public var deadline: UInt64? {
        deadlineMilliseconds.map { receivedAt &+ UInt64($0) &* 1_000_000 }
    }

    /// Bytes of all input frames.
    public var inputBytes: Int { inputs.reduce(0) { $0 + $1.frame.count } }

    /// Whether another message asks for the same thing, so that one answer serves both. A retry
    /// may carry another deadline or priority. Reads all bytes of both.
    public func asksTheSame(as other: Request) -> Bool {
        looksTheSame(as: other)
            && zip(inputs, other.inputs).allSatisfy { $0.frame == $1.frame }
    }

    /// As `asksTheSame`, whatever the tensors' contents are.
    func looksTheSame(as other: Request) -> Bool {
        op == other.op && model == other.model && inputs.count == other.inputs.count
            && params == other.params
            && zip(inputs, other.inputs).allSatisfy {
                $0.header == $1.header && $0.frame.count == $1.frame.count
            }
    }
}
