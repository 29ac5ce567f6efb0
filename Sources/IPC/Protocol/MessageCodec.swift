import JSON

/// A reply as the frames that are sent, without the envelope.
public struct EncodedReply: Sendable {
    public let id: String?
    public let isFinal: Bool
    public let frames: [Frame]
}

/// Messages as frames, and back. Tensors are referred to, never copied.
public enum MessageCodec {
    static let magicFrame = Frame(WireProtocol.magic)

    /// The frames of a request, without an envelope.
    public static func encode(_ request: Request) -> [Frame] {
        var header = JSONObject([("id", .string(request.id)), ("op", .string(request.op))])
        if let model = request.model { header["model"] = .string(model) }
        if let deadline = request.deadlineMilliseconds {
            header["deadline_ms"] = .integer(deadline)
        }
        if request.priority != 0 { header["priority"] = .integer(request.priority) }
        if !request.params.isEmpty { header["params"] = .object(request.params) }
        if !request.inputs.isEmpty {
            header["inputs"] = .array(request.inputs.map(\.header.json))
        }
        return [magicFrame, Frame(JSONValue.object(header).serialized())]
            + request.inputs.map(\.frame)
    }

    /// The frames of a reply.
    ///
    /// A reply that breaks the protocol itself is encoded as the error that says so: `too_large`
    /// when its header exceeds `limits.headerBytes`, `internal` when an output's frame is not as
    /// long as its shape says or an error reply carries no error.
    public static func encode(_ reply: Reply, limits: Limits = Limits()) -> EncodedReply {
        for (index, output) in reply.outputs.enumerated() {
            do throws(WireFault) {
                try output.header.check(output.frame, in: .outputs, at: index, limits: limits)
            } catch {
                return encode(
                    WireFault(.internal, error.message, field: error.field), replacing: reply)
            }
        }
        if reply.status == .error, reply.error == nil {
            return encode(WireFault(.internal, "the operation failed"), replacing: reply)
        }
        let bytes = JSONValue.object(header(of: reply)).serialized()
        if bytes.count > limits.headerBytes {
            return encode(
                WireFault(
                    .tooLarge,
                    "the reply's header would be \(bytes.count) bytes; at most "
                        + "\(limits.headerBytes) are sent: ask for less at once"),
                replacing: reply)
        }
        return EncodedReply(
            id: reply.id, isFinal: reply.isFinal,
            frames: [magicFrame, Frame(bytes)] + reply.outputs.map(\.frame))
    }

    private static func encode(_ fault: WireFault, replacing reply: Reply) -> EncodedReply {
        let substitute = Reply(id: reply.id, op: reply.op, status: .error, error: fault)
        return EncodedReply(
            id: reply.id, isFinal: true,
            frames: [
                magicFrame, Frame(JSONValue.object(header(of: substitute)).serialized()),
            ])
    }

    private static func header(of reply: Reply) -> JSONObject {
        var header = JSONObject([("id", reply.id.map { .string($0) } ?? .null)])
        if let op = reply.op { header["op"] = .string(op) }
        header["status"] = .string(reply.status.rawValue)
        if let model = reply.model { header["model"] = .string(model) }
        if let fingerprint = reply.fingerprint { header["fingerprint"] = .string(fingerprint) }
        if reply.status != .error || !reply.result.isEmpty {
            header["result"] = .object(reply.result)
        }
        if reply.status != .error || !reply.outputs.isEmpty {
            header["outputs"] = .array(reply.outputs.map(\.header.json))
        }
        if !reply.items.isEmpty {
            header["items"] = .array(
                reply.items.map { ["index": .integer($0.index), "error": $0.error.json] })
        }
        if reply.status == .error, let error = reply.error { header["error"] = error.json }
        if let timing = reply.timing {
            header["timing"] = [
                "queue_ms": .number(timing.queueMilliseconds),
                "compute_ms": .number(timing.computeMilliseconds),
            ]
        }
        if !reply.warnings.isEmpty {
            header["warnings"] = .array(reply.warnings.map { .string($0) })
        }
        return header
    }

    /// Reads a reply, without an envelope, and checks it as strictly as a request is checked.
    /// Header fields that are not known are passed over: a later minor version may add some.
    ///
    /// - Throws: a fault that says what is wrong; its code is `unsupported_version`, `bad_request`,
    ///   `bad_tensor` or `too_large`.
    public static func decodeReply(
        _ frames: [Frame], limits: Limits = Limits()
    ) throws(WireFault) -> Reply {
        guard let magic = frames.first, magic == magicFrame else {
            throw WireFault(
                .unsupportedVersion, "frame 0 is not \(WireProtocol.versions.joined())")
        }
        guard frames.count >= 2 else { throw WireFault(.badRequest, "no header in frame 1") }
        guard frames[1].count <= limits.headerBytes else {
            throw WireFault(.tooLarge, "the header is \(frames[1].count) bytes")
        }
        let header: JSONObject
        do throws(HeaderFault) {
            header = try frames[1].jsonObject()
        } catch {
            throw error.fault
        }
        return try ReplyReader(header: header, limits: limits).reply(tensors: frames[2...])
    }
}

extension WireFault {
    var json: JSONValue {
        var object = JSONObject([("code", .string(code.rawValue)), ("message", .string(message))])
        if let field { object["field"] = .string(field) }
        if let retryAfterMilliseconds {
            object["retry_after_ms"] = .integer(retryAfterMilliseconds)
        }
        return .object(object)
    }
}
