import IPC
import JSON

/// Prompts or labels of a series of requests: sent with each, or encoded once by `prepare` and then
/// named by their handle.
struct PreparedTexts {
    private let texts: JSONObject
    private let metric: JSONValue?
    private let requests: ImageRequests
    private var handle: String?

    /// - Parameter metric: the requests' metric; it is part of how prompts are encoded.
    init(_ texts: JSONObject, metric: JSONValue?, _ requests: ImageRequests) {
        self.texts = texts
        self.metric = metric
        self.requests = requests
    }

    /// Encodes the texts now.
    ///
    /// - Returns: the warnings of the reply.
    mutating func prepare() throws -> [String] {
        if texts.isEmpty { return [] }
        var params = texts
        params["metric"] = metric
        let reply = try requests.session.call(
            op: "prepare", model: requests.model, params: params, inputs: [])
        guard let handle = reply.result["handle"]?.stringValue else {
            throw ReplyError("prepare returned no handle")
        }
        self.handle = handle
        return reply.warnings
    }

    /// Sends a request with the texts in one form or the other.
    mutating func call(_ op: String, _ params: JSONObject, _ inputs: [Input]) throws -> Reply {
        if handle != nil {
            do {
                return try send(op, params, inputs)
            } catch let fault as WireFault where fault.field == "params.handle" {
                // A busy daemon dropped it to make room for others' handles.
                _ = try prepare()
            }
        }
        return try send(op, params, inputs)
    }

    private func send(_ op: String, _ params: JSONObject, _ inputs: [Input]) throws -> Reply {
        var params = params
        if let handle {
            params["handle"] = .string(handle)
        } else {
            for (key, value) in texts.members { params[key] = value }
        }
        return try requests.session.call(
            op: op, model: requests.model, params: params, inputs: inputs)
    }

    /// Lets the daemon forget the handle. If that fails, it forgets it by itself in time.
    func release() {
        guard let handle else { return }
        _ = try? requests.session.call(
            op: "release", model: nil, params: ["handle": .string(handle)], inputs: [])
    }
}
