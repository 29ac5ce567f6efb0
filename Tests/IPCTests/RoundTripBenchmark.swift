import Glibc
import IPC
import Testing

/// Not a test of speed, which depends on the machine: prints numbers when `GUIDANCED_BENCH` is set.
@Suite(.serialized) struct RoundTripBenchmark {
    @Test(.enabled(if: getenv("GUIDANCED_BENCH") != nil), arguments: ["ipc", "tcp"])
    func emptyRequest(transport: String) throws {
        let folder = TemporaryFolder()
        let server = try TestServer(transport == "ipc" ? folder.endpoint() : "tcp://127.0.0.1:*")
        defer { server.stop() }
        let client = try Client(endpoint: server.endpoint)
        var microseconds: [Double] = []
        for _ in 0..<20_000 {
            let start = now()
            _ = try client.call(op: "ping")
            microseconds.append((now() - start) * 1e6)
        }
        microseconds.sort()
        let median = microseconds[microseconds.count / 2]
        let tail = microseconds[microseconds.count * 99 / 100]
        print("\(transport): median \(median) µs, 99 % \(tail) µs")
    }

    /// The protocol's own share of an empty request: both ends, without sockets.
    @Test(.enabled(if: getenv("GUIDANCED_BENCH") != nil))
    func protocolAlone() throws {
        let machine = MachineUnderTest()
        let count = 20_000
        var parts = [Double](repeating: 0, count: 4)
        for index in 0..<count {
            let start = now()
            let frames = MessageCodec.encode(Request(id: "c\(index)", op: "ping"))
            let encoded = now()
            let request = try #require(machine.dispatched(frames))
            let received = now()
            let reply = try #require(sent(machine.complete(Reply(answering: request))))
            let answered = now()
            _ = try MessageCodec.decodeReply(reply.frames)
            let decoded = now()
            parts[0] += encoded - start
            parts[1] += received - encoded
            parts[2] += answered - received
            parts[3] += decoded - answered
        }
        let microseconds = parts.map { $0 / Double(count) * 1e6 }
        print("encode, receive, complete, decode: \(microseconds) µs")
    }

    private func now() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }
}
