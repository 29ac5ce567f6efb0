import IPC
import JSON

/// Something that answers requests: a running daemon, or the engine in this process.
protocol Session {
    /// Sends one request and waits for its final reply.
    ///
    /// - Throws: `WireFault` when the request fails as a whole (items that failed alone are in the
    ///   reply), `TransportError` when no daemon answers.
    func call(op: String, model: String?, params: JSONObject, inputs: [Input]) throws -> Reply
}

/// The engine in this process.
final class LocalSession: Session {
    private let engine: Engine

    init(engine: Engine) { self.engine = engine }

    func call(op: String, model: String?, params: JSONObject, inputs: [Input]) throws -> Reply {
        let request = Request(
            client: ClientAddress(socket: -1, routingID: []), id: "local", op: op, model: model,
            deadlineMilliseconds: nil, priority: 0, params: params, inputs: inputs, warnings: [],
            receivedAt: monotonicNow(), isControl: false)
        let answer = Monitor<Reply?>(nil)
        engine.handle(request) { reply in answer.update { $0 = reply } }
        let reply = answer.wait { $0 }
        if let error = reply.error { throw error }
        return reply
    }
}
