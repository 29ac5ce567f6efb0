package import IPC
package import JSON
package import Serving
import System

/// Something that answers requests: a running daemon, or the engine in this process.
package protocol Session {
    /// How many images to put into one request, so that all compute threads have work.
    var batchSize: Int { get }

    /// Sends one request and waits for its final reply.
    ///
    /// - Throws: `WireFault` when the request fails as a whole (items that failed alone are in the
    ///   reply), `ClientError` when no daemon answers.
    func call(op: String, model: String?, params: JSONObject, inputs: [Input]) throws -> Reply
}

extension Session {
    /// A request carries at least 8 images, and 4 for each thread.
    static func batchSize(threads: Int) -> Int { min(max(8, 4 * threads), 256) }
}

/// The engine in this process.
package final class LocalSession: Session {
    private let engine: Engine

    package init(engine: Engine) { self.engine = engine }

    package var batchSize: Int {
        LocalSession.batchSize(threads: engine.scheduler.threadCount)
    }

    package func call(
        op: String, model: String?, params: JSONObject, inputs: [Input]
    ) throws -> Reply {
        try ArgumentText.check(params)
        let request = Request(
            client: ClientAddress(socket: -1, routingID: []), id: "local", op: op, model: model,
            params: params, inputs: inputs, receivedAt: monotonicNow(), isControl: true)
        let answer = Monitor<Reply?>(nil)
        engine.handle(request) { reply in answer.update { $0 = reply } }
        let reply = answer.wait { $0 }
        if let error = reply.error { throw error }
        return reply
    }
}
