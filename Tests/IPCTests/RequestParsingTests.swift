import IPC
import JSON
import Testing

/// A message that must be refused, and how.
struct RefusedMessage: CustomTestStringConvertible, Sendable {
    let name: String
    let frames: [Frame]
    let code: ErrorCode
    var field: String?
    var id: String?
    var mentions: [String] = []

    var testDescription: String { name }
}

private func input(_ entry: String, _ frame: Frame) -> [Frame] {
    message(#"{"id":"a","op":"score","inputs":[\#(entry)]}"#, [frame])
}

private let nested = String(repeating: "[", count: 100_000)

private let manyEntries = [String](repeating: #"{"datatype":"BYTES"}"#, count: 1025)
    .joined(separator: ",")

private let tooLong = String(repeating: " ", count: 1 << 20)

private let malformed: [RefusedMessage] = [
    .init(name: "no frame", frames: [], code: .unsupportedVersion),
    .init(name: "an empty frame", frames: [bytes(0)], code: .unsupportedVersion),
    .init(
        name: "the next major version", frames: [Frame(Array("GD02".utf8)), bytes(2)],
        code: .unsupportedVersion, mentions: ["GD01", "GD02"]),
    .init(
        name: "another protocol", frames: [Frame(Array("GET / HTTP/1.1".utf8))],
        code: .unsupportedVersion, mentions: ["GD01"]),
    .init(
        name: "a magic with a tail", frames: [Frame(Array("GD01x".utf8)), bytes(2)],
        code: .unsupportedVersion),
    .init(name: "no header", frames: [magic], code: .badRequest, mentions: ["frame 1"]),
    .init(name: "an empty header", frames: message(""), code: .badRequest),
    .init(name: "no JSON", frames: message("{nope}"), code: .badRequest, mentions: ["byte 1"]),
    .init(name: "an array", frames: message("[]"), code: .badRequest, mentions: ["an array"]),
    .init(name: "deep nesting", frames: message(nested), code: .badRequest),
    .init(
        name: "invalid UTF-8",
        frames: [magic, Frame(Array(#"{"id":""#.utf8) + [0xff] + Array(#""}"#.utf8))],
        code: .badRequest, mentions: ["UTF-8"]),
    .init(
        name: "a header of more than 1 MiB that has an id",
        frames: message(#"{"op":"x","n":[{"a":"]"}],"id":"a","params":"# + tooLong),
        code: .tooLarge, id: "a"),
    .init(
        name: "a fault after the id",
        frames: message(#"{"op":"x","params":{"a":["}\""]} ,"id":"a","p":"\ud800"}"#),
        code: .badRequest, id: "a", mentions: ["surrogate"]),
    .init(
        name: "a fault before the id", frames: message(#"{"op":"x","p":nul,"id":"a"}"#),
        code: .badRequest),
    .init(
        name: "a fault within the id", frames: message(#"{"id":"\udc00","op":"x"}"#),
        code: .badRequest),
    .init(
        name: "two ids", frames: message(#"{"id":"a","id":"b","op":"x"}"#),
        code: .badRequest, id: "a"),
    .init(
        name: "an id of another object", frames: message(#"{"params":{"id":"a"},"x":01}"#),
        code: .badRequest),
    .init(
        name: "a header cut short", frames: message(#"{"id":"a","op":"x","params":{"#),
        code: .badRequest, id: "a"),
    .init(
        name: "a header of more than 1 MiB", frames: [magic, bytes((1 << 20) + 1)],
        code: .tooLarge, mentions: ["1048577", "1048576"]),
    .init(name: "no id", frames: message(#"{"op":"ping"}"#), code: .badRequest, field: "id"),
    .init(
        name: "an empty id", frames: message(#"{"id":"","op":"ping"}"#), code: .badRequest,
        field: "id"),
    .init(
        name: "a number as id", frames: message(#"{"id":7,"op":"ping"}"#), code: .badRequest,
        field: "id", mentions: ["7"]),
    .init(
        name: "an id of 129 bytes",
        frames: message(#"{"id":"\#(String(repeating: "i", count: 129))","op":"ping"}"#),
        code: .badRequest, field: "id"),
    .init(name: "no op", frames: message(#"{"id":"a"}"#), code: .badRequest, field: "op", id: "a"),
    .init(
        name: "an op that is no string", frames: message(#"{"id":"a","op":{}}"#),
        code: .badRequest, field: "op", id: "a"),
    .init(
        name: "a model that is no string", frames: message(#"{"id":"a","op":"x","model":3}"#),
        code: .badRequest, field: "model", id: "a"),
    .init(
        name: "params that are no object", frames: message(#"{"id":"a","op":"x","params":[1]}"#),
        code: .badRequest, field: "params", id: "a"),
    .init(
        name: "inputs that are no array", frames: message(#"{"id":"a","op":"x","inputs":{}}"#),
        code: .badRequest, field: "inputs", id: "a"),
    .init(
        name: "a deadline of zero", frames: message(#"{"id":"a","op":"x","deadline_ms":0}"#),
        code: .badRequest, field: "deadline_ms", id: "a"),
    .init(
        name: "a deadline beyond a day",
        frames: message(#"{"id":"a","op":"x","deadline_ms":1e300}"#),
        code: .badRequest, field: "deadline_ms", id: "a"),
    .init(
        name: "a priority out of range", frames: message(#"{"id":"a","op":"x","priority":101}"#),
        code: .badRequest, field: "priority", id: "a", mentions: ["100", "101"]),
    .init(
        name: "a frame too few",
        frames: message(
            #"{"id":"a","op":"x","inputs":[{"datatype":"BYTES"},{"datatype":"BYTES"}]}"#,
            [bytes(1)]),
        code: .badTensor, field: "inputs[1]", id: "a"),
    .init(
        name: "a frame too many", frames: message(#"{"id":"a","op":"x"}"#, [bytes(1)]),
        code: .badTensor, field: "inputs", id: "a"),
    .init(
        name: "an entry that is no object", frames: input("3", bytes(1)), code: .badTensor,
        field: "inputs[0]", id: "a"),
    .init(
        name: "no datatype", frames: input(#"{"shape":[1]}"#, bytes(4)), code: .badTensor,
        field: "inputs[0].datatype", id: "a"),
    .init(
        name: "an unknown datatype",
        frames: input(#"{"datatype":"FP8","shape":[1]}"#, bytes(1)), code: .badTensor,
        field: "inputs[0].datatype", id: "a", mentions: ["FP8", "BF16"]),
    .init(
        name: "no shape", frames: input(#"{"datatype":"FP32"}"#, bytes(4)), code: .badTensor,
        field: "inputs[0].shape", id: "a"),
    .init(
        name: "a scalar", frames: input(#"{"datatype":"FP32","shape":[]}"#, bytes(4)),
        code: .badTensor, field: "inputs[0].shape", id: "a"),
    .init(
        name: "nine extents",
        frames: input(#"{"datatype":"UINT8","shape":[1,1,1,1,1,1,1,1,1]}"#, bytes(1)),
        code: .badTensor, field: "inputs[0].shape", id: "a"),
    .init(
        name: "an extent of zero",
        frames: input(#"{"datatype":"FP32","shape":[0,3]}"#, bytes(0)), code: .badTensor,
        field: "inputs[0].shape", id: "a"),
    .init(
        name: "a negative extent",
        frames: input(#"{"datatype":"FP32","shape":[-1,-1]}"#, bytes(4)), code: .badTensor,
        field: "inputs[0].shape", id: "a", mentions: ["-1"]),
    .init(
        name: "a fractional extent",
        frames: input(#"{"datatype":"FP32","shape":[1.5]}"#, bytes(6)), code: .badTensor,
        field: "inputs[0].shape", id: "a"),
    .init(
        name: "a shape for BYTES",
        frames: input(#"{"datatype":"BYTES","shape":[2,2]}"#, bytes(4)), code: .badTensor,
        field: "inputs[0].shape", id: "a"),
    .init(
        name: "a content type that is no string",
        frames: input(#"{"datatype":"BYTES","content_type":1}"#, bytes(4)), code: .badTensor,
        field: "inputs[0].content_type", id: "a"),
    .init(
        name: "a name that is no string",
        frames: input(#"{"name":[],"datatype":"BYTES"}"#, bytes(4)), code: .badTensor,
        field: "inputs[0].name", id: "a"),
    .init(
        name: "a frame of another length",
        frames: input(#"{"name":"images","datatype":"FP32","shape":[2,3]}"#, bytes(23)),
        code: .badTensor, field: "inputs[0]", id: "a", mentions: ["images", "24", "23"]),
    .init(
        name: "a declared gigabyte",
        frames: input(#"{"datatype":"FP32","shape":[1024,1024,256]}"#, bytes(4)),
        code: .tooLarge, field: "inputs[0]", id: "a", mentions: ["1073741824"]),
    .init(
        name: "a product that overflows",
        frames: input(
            #"{"datatype":"FP32","shape":[2147483647,2147483647,2147483647]}"#, bytes(4)),
        code: .badTensor, field: "inputs[0]", id: "a"),
    .init(
        name: "1025 inputs",
        frames: message(
            #"{"id":"a","op":"x","inputs":[\#(manyEntries)]}"#),
        code: .tooLarge, field: "inputs", id: "a", mentions: ["1025", "1024"]),
]

@Suite struct RequestParsingTests {
    @Test(arguments: malformed)
    func badMessagesAreRefusedWithTheirReason(bad: RefusedMessage) throws {
        let machine = MachineUnderTest()
        let reply = try #require(try machine.refusal(bad.frames))
        let fault = try #require(reply.error)
        #expect(fault.code == bad.code, "\(fault)")
        #expect(fault.field == bad.field, "\(fault)")
        #expect(reply.id == bad.id)
        #expect(reply.status == .error)
        for text in bad.mentions { #expect(fault.message.contains(text), "\(fault)") }
        #expect(machine.inFlight == 0)
        #expect(machine.counters.refused == 1)
    }

    @Test func anUnknownVersionIsToldTheVersionsSpoken() throws {
        let machine = MachineUnderTest()
        let reply = try #require(try machine.refusal([Frame(Array("GD07".utf8)), bytes(9)]))
        #expect(reply.result["versions"] == ["GD01"])
    }

    @Test func aFullRequestIsReadInAllItsParts() throws {
        let machine = MachineUnderTest()
        let header = #"""
            {"id": "a1", "op": "score", "model": "default", "deadline_ms": 1999.5, "priority": -3,
             "params": {"prompts": ["a red circle"], "metric": "cosine"},
             "inputs": [{"name": "images", "datatype": "FP32", "shape": [2, 3, 4, 4]},
                        {"name": "image", "datatype": "BYTES", "content_type": "image/png"},
                        {"datatype": "BYTES", "shape": [1]}]}
            """#
        let frames = message(header, [bytes(384), bytes(5), bytes(0)])
        let request = try #require(machine.dispatched(frames, now: 5_000_000))
        #expect(request.id == "a1")
        #expect(request.op == "score")
        #expect(request.model == "default")
        #expect(request.deadlineMilliseconds == 2000)
        #expect(request.deadline == 2_005_000_000)
        #expect(request.priority == -3)
        #expect(request.params["metric"] == "cosine")
        #expect(request.inputs.map(\.header.name) == ["images", "image", "inputs[2]"])
        #expect(request.inputs.map(\.header.shape) == [[2, 3, 4, 4], [], []])
        #expect(request.inputs[1].header.contentType == "image/png")
        #expect(request.inputs.map(\.frame.count) == [384, 5, 0])
        #expect(request.inputBytes == 389)
        #expect(request.warnings.isEmpty)
        #expect(request.client == alice)
    }

    @Test func nullStandsForAnAbsentField() throws {
        let machine = MachineUnderTest()
        let header = #"""
            {"id": "a", "op": "ping", "model": null, "deadline_ms": null, "priority": null,
             "params": null, "inputs": null}
            """#
        let request = try #require(machine.dispatched(message(header)))
        #expect(request.model == nil && request.deadline == nil && request.priority == 0)
        #expect(request.params.isEmpty && request.inputs.isEmpty && request.warnings.isEmpty)
    }

    @Test func unknownFieldsAreNamedInWarnings() throws {
        let machine = MachineUnderTest()
        let header = #"""
            {"id": "a", "op": "x", "colour": 1, "inputs": [{"datatype": "BYTES", "crop": true}]}
            """#
        let request = try #require(machine.dispatched(message(header, [bytes(1)])))
        #expect(
            request.warnings == [
                "unknown field ignored: colour", "unknown field ignored: inputs[0].crop",
            ])
        let reply = Reply(answering: request, warnings: ["prompt 0 was cut"])
        #expect(reply.warnings.count == 3)
    }

    @Test func aThousandUnknownFieldsGiveFewWarnings() throws {
        let machine = MachineUnderTest()
        let fields = (0..<1000).map { #""f\#($0)":0"# }.joined(separator: ",")
        let request = try #require(
            machine.dispatched(message(#"{"id":"a","op":"x",\#(fields)}"#)))
        #expect(request.warnings.count == 17)
        #expect(request.warnings.last == "984 more unknown fields ignored")
    }

    @Test func framesThatTheTransportDroppedAreCounted() throws {
        let machine = MachineUnderTest()
        let actions = machine.receive(
            message(#"{"id":"a","op":"x"}"#, [bytes(1)]), droppedFrames: 99_997)
        let reply = try MessageCodec.decodeReply(try #require(sent(actions)).frames)
        #expect(reply.id == "a")
        #expect(reply.error?.code == .tooLarge)
        #expect(reply.error?.message.contains("99998") == true)
    }

    @Test func theTotalOfAllTensorsIsLimited() throws {
        var limits = Limits()
        limits.requestBytes = 100
        let machine = MachineUnderTest(limits: limits)
        let header = #"""
            {"id": "a", "op": "x", "inputs": [{"datatype": "BYTES"}, {"datatype": "BYTES"}]}
            """#
        let reply = try machine.refusal(message(header, [bytes(60), bytes(60)]))
        #expect(reply?.error?.code == .tooLarge)
        #expect(machine.dispatched(message(header, [bytes(60), bytes(40)])) != nil)
    }
}
