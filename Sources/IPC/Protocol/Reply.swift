public import JSON

/// The wire's reply status.
public enum ReplyStatus: String, CaseIterable, Sendable {
    case ok
    /// Progress, or a first part of a stream: more replies with the same id follow.
    case partial
    case error
}

/// The failure of one item of a request; the other items have their results.
public struct ItemFault: Equatable, Sendable {
    /// The item's number, from 0, in frame order.
    public var index: Int
    public var error: WireFault

    public init(index: Int, error: WireFault) {
        self.index = index
        self.error = error
    }
}

/// Where a request spent its time, in milliseconds.
public struct Timing: Equatable, Sendable {
    public var queueMilliseconds: Double
    public var computeMilliseconds: Double

    public init(queueMilliseconds: Double, computeMilliseconds: Double) {
        self.queueMilliseconds = queueMilliseconds
        self.computeMilliseconds = computeMilliseconds
    }
}

/// A reply to one request.
public struct Reply: Sendable {
    /// The request's id; `nil` only where it could not be parsed.
    public var id: String?
    public var op: String?
    public var status: ReplyStatus
    /// The name of the model that answered.
    public var model: String?
    /// The digest of that model's weights and configuration.
    public var fingerprint: String?
    public var result: JSONObject
    public var outputs: [Output]
    public var items: [ItemFault]
    /// Set exactly when the status is `error`.
    public var error: WireFault?
    public var timing: Timing?
    public var warnings: [String]

    public init(
        id: String?, op: String?, status: ReplyStatus, model: String? = nil,
        fingerprint: String? = nil, result: JSONObject = JSONObject(), outputs: [Output] = [],
        items: [ItemFault] = [], error: WireFault? = nil, timing: Timing? = nil,
        warnings: [String] = []
    ) {
        self.id = id
        self.op = op
        self.status = status
        self.model = model
        self.fingerprint = fingerprint
        self.result = result
        self.outputs = outputs
        self.items = items
        self.error = error
        self.timing = timing
        self.warnings = warnings
    }

    /// The results of a request, or with `.partial` a first part of them; the request's warnings
    /// come before `warnings`.
    public init(
        answering request: Request, status: ReplyStatus = .ok, model: String? = nil,
        fingerprint: String? = nil, result: JSONObject = JSONObject(), outputs: [Output] = [],
        items: [ItemFault] = [], timing: Timing? = nil, warnings: [String] = []
    ) {
        self.init(
            id: request.id, op: request.op, status: status, model: model,
            fingerprint: fingerprint, result: result, outputs: outputs, items: items,
            timing: timing, warnings: request.warnings + warnings)
    }

    /// The refusal or failure of a whole request.
    public init(failing request: Request, with fault: WireFault, timing: Timing? = nil) {
        self.init(
            id: request.id, op: request.op, status: .error, model: request.model, error: fault,
            timing: timing, warnings: request.warnings)
    }

    /// Whether no further reply with this id follows.
    public var isFinal: Bool { status != .partial }
}
