import JSON

/// The server's side of the protocol as a value: messages in, actions out, no I/O.
///
/// Its promise: a message that could be parsed as far as its id gets exactly one final reply, from
/// here when it is refused, otherwise from the handler through `complete`; a message that repeats
/// a request in flight joins it and shares its reply.
public struct ServerStateMachine: Sendable {
    /// What the transport is to do, in order.
    public enum Action: Sendable {
        /// Send these frames, which include the client's envelope, to this peer.
        case send(ClientAddress, [Frame])
        /// Hand the request to the handler, which owes it one final reply.
        case dispatch(Request)
        /// Tell the handler that nobody waits for this request any more.
        case abandon(ClientAddress, id: String)
        /// Find out whether two requests are the same, where it takes no time from clients, and hand
        /// the answer to `compared`.
        case compare(Comparison)
    }

    /// A message that repeats the id of a large request in flight.
    public struct Comparison: Sendable {
        fileprivate let first: Request
        fileprivate let second: Request
        /// Which of the requests that had this id the first one is.
        fileprivate let serial: Int
        fileprivate let envelope: [Frame]

        /// Reads all bytes of both.
        public var isSame: Bool { second.asksTheSame(as: first) }
    }

    /// Tensors up to this many bytes are compared at once, in some ten microseconds.
    static let comparedAtOnceBytes = 256 << 10
    /// Comparisons that may be under way.
    static let comparisonLimit = 16

    private struct Entry {
        let request: Request
        /// Where the reply goes within the client: a REQ socket that sends a request again numbers
        /// it anew, and listens to that number only.
        var envelope: [Frame]
        let serial: Int
    }

    public let limits: Limits
    public private(set) var isDraining = false
    /// What happened so far; the transport adds its own counts to these.
    public private(set) var counters = ServerCounters()
    /// Bytes of tensors of all requests in flight, and of messages that are being compared with them.
    public private(set) var inFlightBytes = 0
    /// Messages of which it is not known yet whether they repeat a request.
    public private(set) var comparing = 0
    private var clients: [ClientAddress: [String: Entry]] = [:]

    public init(limits: Limits = Limits()) {
        self.limits = limits
    }

    /// Requests in flight.
    public var inFlight: Int { counters.inFlight }

    public func isInFlight(_ id: String, of client: ClientAddress) -> Bool {
        clients[client]?[id] != nil
    }

    /// Takes a message from a client.
    ///
    /// - Parameters:
    ///   - frames: all frames after the routing id: an envelope if any, then the message.
    ///   - droppedFrames: how many further frames the message had.
    ///   - now: monotonic nanoseconds.
    public mutating func receive(
        frames: [Frame], droppedFrames: Int = 0, from client: ClientAddress,
        isControl: Bool = false, now: UInt64
    ) -> [Action] {
        counters.received += 1
        let (envelope, message) = RequestParser.split(frames)
        let parsed = RequestParser(limits: limits).parse(
            message, droppedFrames: droppedFrames, from: client, isControl: isControl, now: now)
        switch parsed {
        case .failure(let refusal):
            return [refuse(refusal, to: client, envelope: envelope)]
        case .success(let request):
            return accept(request, envelope: envelope)
        }
    }

    private mutating func accept(_ request: Request, envelope: [Frame]) -> [Action] {
        if let entry = clients[request.client]?[request.id] {
            return repeated(request, of: entry, envelope: envelope)
        }
        if let fault = admissionFault(request) {
            return [refuse(request, fault, envelope: envelope)]
        }
        counters.inFlight += 1
        counters.dispatched += 1
        clients[request.client, default: [:]][request.id] = Entry(
            request: request, envelope: envelope, serial: counters.dispatched)
        inFlightBytes += request.inputBytes
        return [.dispatch(request)]
    }

    private mutating func repeated(
        _ request: Request, of entry: Entry, envelope: [Frame]
    ) -> [Action] {
        guard request.looksTheSame(as: entry.request) else {
            return [refuse(request, ServerStateMachine.otherRequest, envelope: envelope)]
        }
        let bytes = request.inputBytes
        guard bytes > ServerStateMachine.comparedAtOnceBytes else {
            return request.asksTheSame(as: entry.request)
                ? join(request, envelope: envelope)
                : [refuse(request, ServerStateMachine.otherRequest, envelope: envelope)]
        }
        if comparing >= ServerStateMachine.comparisonLimit
            || bytes > limits.inFlightBytes - inFlightBytes
        {
            let fault = WireFault(
                .overloaded,
                "\(comparing) repeated requests are being compared with those in flight, "
                    + "\(inFlightBytes) bytes of tensors are in flight already; the first "
                    + "request's reply still follows", field: "id", retryAfterMilliseconds: 100)
            return [refuse(request, fault, envelope: envelope)]
        }
        comparing += 1
        inFlightBytes += bytes
        return [
            .compare(
                Comparison(
                    first: entry.request, second: request, serial: entry.serial,
                    envelope: envelope))
        ]
    }

    /// Takes the answer to a comparison: the message joins the request, is refused, or is a new request
    /// if the other has its reply by now.
    public mutating func compared(_ comparison: Comparison, isSame: Bool) -> [Action] {
        let request = comparison.second
        comparing -= 1
        inFlightBytes -= request.inputBytes
        guard let entry = clients[request.client]?[request.id],
            entry.serial == comparison.serial
        else { return accept(request, envelope: comparison.envelope) }
        return isSame
            ? join(request, envelope: comparison.envelope)
            : [refuse(request, ServerStateMachine.otherRequest, envelope: comparison.envelope)]
    }

    private mutating func join(_ request: Request, envelope: [Frame]) -> [Action] {
        clients[request.client]?[request.id]?.envelope = envelope
        counters.joined += 1
        return []
    }

    /// Sharing the reply would answer a question with another one's answer.
    private static let otherRequest = WireFault(
        .badRequest, "a different request with this id is in flight; its own reply still follows",
        field: "id")

    private func admissionFault(_ request: Request) -> WireFault? {
        if isDraining, !WireProtocol.introspection.contains(request.op) {
            return WireFault(.shuttingDown, "the daemon is stopping and takes no new work")
        }
        let ofClient = clients[request.client]?.count ?? 0
        if ofClient >= limits.inFlightPerClient {
            return WireFault(
                .overloaded, "\(ofClient) requests of this client are unanswered already",
                retryAfterMilliseconds: 100)
        }
        if inFlight >= limits.inFlight {
            return WireFault(
                .overloaded, "\(inFlight) requests are unanswered already",
                retryAfterMilliseconds: 100)
        }
        if request.inputBytes > limits.inFlightBytes - inFlightBytes {
            return WireFault(
                .overloaded, "\(inFlightBytes) bytes of tensors are in flight already",
                retryAfterMilliseconds: 100)
        }
        return nil
    }

    private mutating func refuse(
        _ request: Request, _ fault: WireFault, envelope: [Frame]
    ) -> Action {
        let refusal = RequestRefusal(
            id: request.id, op: request.op, fault: fault, warnings: request.warnings)
        return refuse(refusal, to: request.client, envelope: envelope)
    }

    private mutating func refuse(
        _ refusal: RequestRefusal, to client: ClientAddress, envelope: [Frame]
    ) -> Action {
        counters.refused += 1
        var reply = Reply(
            id: refusal.id, op: refusal.op, status: .error, error: refusal.fault,
            warnings: refusal.warnings)
        if refusal.fault.code == .unsupportedVersion {
            reply.result["versions"] = .array(WireProtocol.versions.map { .string($0) })
        }
        return .send(client, envelope + MessageCodec.encode(reply, limits: limits).frames)
    }

    /// Takes the handler's reply to a request. A reply to a request that is not in flight is
    /// dropped and counted: its client has its final reply, or is gone.
    public mutating func complete(_ reply: Reply, for client: ClientAddress) -> [Action] {
        complete(MessageCodec.encode(reply, limits: limits), for: client)
    }

    /// As `complete(_:for:)` with a reply that was encoded on another thread.
    public mutating func complete(_ reply: EncodedReply, for client: ClientAddress) -> [Action] {
        guard let id = reply.id, let entry = clients[client]?[id] else {
            counters.unmatchedReplies += 1
            return []
        }
        if reply.isFinal { remove(id, of: client) }
        return [.send(client, entry.envelope + reply.frames)]
    }

    private mutating func remove(_ id: String, of client: ClientAddress) {
        guard let entry = clients[client]?.removeValue(forKey: id) else { return }
        if clients[client]?.isEmpty == true { clients[client] = nil }
        counters.inFlight -= 1
        inFlightBytes -= entry.request.inputBytes
    }

    /// Forgets a client that can never be reached again.
    public mutating func clientGone(_ client: ClientAddress) -> [Action] {
        guard let entries = clients[client] else { return [] }
        for id in entries.keys { remove(id, of: client) }
        return entries.keys.sorted().map { .abandon(client, id: $0) }
    }

    /// From now on new work is refused with `shutting_down`; requests in flight go on, and
    /// operations that only look are still answered.
    public mutating func beginDraining() {
        isDraining = true
    }

    /// Ends every request in flight with `shutting_down`; replies that the handler may still send
    /// are dropped.
    public mutating func refuseInFlight() -> [Action] {
        isDraining = true
        var actions: [Action] = []
        for (client, entries) in clients {
            for entry in entries.values {
                let fault = WireFault(.shuttingDown, "the daemon stopped before it had the answer")
                let reply = MessageCodec.encode(
                    Reply(failing: entry.request, with: fault), limits: limits)
                actions.append(.send(client, entry.envelope + reply.frames))
                actions.append(.abandon(client, id: entry.request.id))
            }
        }
        // What is being compared is still counted until `compared` takes it off.
        inFlightBytes -= clients.values.reduce(0) { sum, entries in
            entries.values.reduce(sum) { $0 + $1.request.inputBytes }
        }
        clients = [:]
        counters.inFlight = 0
        return actions
    }
}
