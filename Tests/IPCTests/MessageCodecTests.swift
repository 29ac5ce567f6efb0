import IPC
import JSON
import Testing

@Suite struct MessageCodecTests {
    @Test func aReplyComesBackAsItWasBuilt() throws {
        let reply = Reply(
            id: "a1", op: "score", status: .ok, model: "default", fingerprint: "ab12",
            result: JSONObject([("metric", "cosine")]),
            outputs: [
                Tensor(name: "scores", shape: [3, 1], values: [0.5, -0.25, .nan]),
                Tensor(name: "file", bytes: [1, 2, 3], contentType: "image/png"),
            ],
            items: [
                ItemFault(
                    index: 2, error: WireFault(.badImage, "cut short", field: "inputs[2]"))
            ],
            timing: Timing(queueMilliseconds: 0.5, computeMilliseconds: 3.25),
            warnings: ["prompt 0 was cut"])
        let encoded = MessageCodec.encode(reply)
        #expect(encoded.id == "a1" && encoded.isFinal && encoded.frames.count == 4)
        // Tensors are handed on, not copied.
        #expect(encoded.frames[2] == reply.outputs[0].frame)
        let back = try MessageCodec.decodeReply(encoded.frames)
        #expect(back.id == reply.id && back.op == reply.op && back.status == reply.status)
        #expect(back.model == reply.model && back.fingerprint == reply.fingerprint)
        #expect(back.result == reply.result)
        #expect(back.outputs.map(\.header) == reply.outputs.map(\.header))
        #expect(back.outputs.map(\.frame) == reply.outputs.map(\.frame))
        #expect(back.items == reply.items)
        #expect(back.timing == reply.timing)
        #expect(back.warnings == reply.warnings)
    }

    @Test func anEmptySuccessStillHasResultAndOutputs() throws {
        let frames = MessageCodec.encode(Reply(id: "a", op: "ping", status: .ok)).frames
        let header = try JSONValue.parse(frames[1].array)
        #expect(
            header == [
                "id": "a", "op": "ping", "status": "ok", "result": [:] as JSONValue, "outputs": [],
            ])
    }

    @Test func anErrorCarriesItsFaultAndNoOutputs() throws {
        let fault = WireFault(
            .overloaded, "the queue is full", field: nil, retryAfterMilliseconds: 250)
        let frames = MessageCodec.encode(
            Reply(id: nil, op: nil, status: .error, error: fault)
        ).frames
        let header = try JSONValue.parse(frames[1].array)
        #expect(header["id"] == .null)
        #expect(header["outputs"] == nil && header["result"] == nil)
        #expect(header["error"]?["retry_after_ms"] == 250)
        #expect(try MessageCodec.decodeReply(frames).error == fault)
    }

    @Test func aRequestComesThroughTheServersParser() throws {
        let request = Request(
            client: alice, id: "r", op: "gradient", model: "m", deadlineMilliseconds: 500,
            priority: 2, params: JSONObject([("prompts", ["a cat"])]),
            inputs: [
                Tensor(
                    name: "images", shape: [1, 3, 2, 2], values: [Float](repeating: 1, count: 12)),
                Tensor(name: "image", bytes: [9], contentType: "image/png"),
            ])
        let machine = MachineUnderTest()
        let parsed = try #require(machine.dispatched(MessageCodec.encode(request)))
        #expect(parsed.asksTheSame(as: request))
        #expect(parsed.deadlineMilliseconds == 500 && parsed.priority == 2)
        #expect(parsed.warnings.isEmpty)
        #expect(try TensorEncoding.floats(parsed.inputs[0]) == [Float](repeating: 1, count: 12))
    }

    @Test func aReplyTooLargeForItsHeaderBecomesAnError() throws {
        let text = String(repeating: "x", count: 1 << 20)
        let reply = Reply(
            id: "a", op: "tokenize", status: .partial,
            result: JSONObject([("text", .string(text))]))
        let encoded = MessageCodec.encode(reply)
        #expect(encoded.isFinal)
        let back = try MessageCodec.decodeReply(encoded.frames)
        #expect(back.error?.code == .tooLarge && back.id == "a")
    }

    @Test func anOutputThatBeliesItsShapeBecomesAnInternalError() throws {
        let reply = Reply(
            id: "a", op: "score", status: .ok,
            outputs: [Tensor(name: "scores", shape: [3], values: [1, 2])])
        let back = try MessageCodec.decodeReply(MessageCodec.encode(reply).frames)
        #expect(back.error?.code == .internal)
        #expect(back.error?.field == "outputs[0]")
        let mute = try MessageCodec.decodeReply(
            MessageCodec.encode(Reply(id: "a", op: nil, status: .error)).frames)
        #expect(mute.error?.code == .internal)
    }

    @Test(arguments: [
        #"{"id":"a"}"#, #"{"id":"a","status":"fine"}"#, #"{"id":7,"status":"ok"}"#,
        #"{"id":"a","status":"error"}"#,
        #"{"id":"a","status":"error","error":{"code":"internal"}}"#,
        #"{"id":"a","status":"ok","outputs":[{"name":"x","datatype":"FP32","shape":[1]}]}"#,
        #"{"id":"a","status":"ok","items":[{"index":-1,"error":{}}]}"#,
        #"{"id":"a","status":"ok","timing":3}"#, #"{"id":"a","status":"ok","warnings":[1]}"#,
        #"{"id":"a","status":"ok","result":[]}"#, "[]", "",
    ])
    func malformedRepliesAreRefused(header: String) {
        #expect(throws: WireFault.self) { try MessageCodec.decodeReply(message(header)) }
    }

    @Test func anErrorCodeOfALaterVersionIsAnInternalError() throws {
        let header = #"{"id":"a","status":"error","error":{"code":"odd","message":"m"}}"#
        let reply = try MessageCodec.decodeReply(message(header))
        #expect(reply.error == WireFault(.internal, "odd: m"))
    }

    @Test func errorCodesAreThoseOfTheContract() {
        #expect(
            ErrorCode.allCases.map(\.rawValue) == [
                "unsupported_version", "bad_request", "unknown_op", "unknown_model", "bad_tensor",
                "bad_image", "too_large", "prompt_too_long", "overloaded", "deadline_exceeded",
                "cancelled", "shutting_down", "unauthorized", "internal",
            ])
    }
}
