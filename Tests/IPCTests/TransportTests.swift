import CZeroMQ
import Glibc
import IPC
import JSON
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2))) struct TransportTests {
    private let folder = TemporaryFolder()

    @Test(arguments: [
        "ipc", "ipc://@guidanced-test-\(getpid())", "tcp://127.0.0.1:*", "tcp://[::1]:*",
    ])
    func tensorsComeBackAsTheyWere(endpoint: String) throws {
        let address = endpoint == "ipc" ? folder.endpoint() : endpoint
        let server = try TestServer(address)
        defer { server.stop() }
        #expect(!server.endpoint.contains("*"))
        let client = try Client(endpoint: server.endpoint, timeoutMilliseconds: 10_000)
        var generator = SeededGenerator(seed: 3)
        // On both sides of the size from which memory is lent, and beyond socket buffers.
        for count in [1, 16_383, 16_384, 2_000_000] {
            let values = (0..<count).map { _ in Float.random(in: -1...1, using: &generator) }
            let input = Tensor(name: "x", shape: [count], values: values)
            let reply = try client.call(
                op: "echo", inputs: [input, Tensor(name: "empty", bytes: [])])
            #expect(
                reply.outputs.map(\.header) == [
                    input.header, TensorHeader(name: "empty", datatype: .bytes, shape: []),
                ])
            #expect(try TensorEncoding.floats(reply.outputs[0]) == values)
        }
    }

    @Test func aLargeRequestThatIsSentAgainJoinsTheFirst() throws {
        let server = try TestServer(folder.endpoint())
        defer { server.stop() }
        let client = RawClient(server.endpoint)
        let header = Array(
            #"{"id":"a","op":"hold","inputs":[{"datatype":"BYTES"}]}"#.utf8)
        var content = [UInt8](repeating: 5, count: 4 << 20)
        client.send([WireProtocol.magic, header, content])
        #expect(server.waitForHeld(1))
        client.send([WireProtocol.magic, header, content])
        #expect(waitUntil { server.server.counters.joined == 1 })
        content[content.count - 1] = 6
        client.send([WireProtocol.magic, header, content])
        #expect(try client.receiveReply().error?.field == "id")
        server.releaseAll()
        #expect(try client.receiveReply().status == .ok)
        #expect(server.server.counters.dispatched == 1)
    }

    @Test func largeRepliesToASlowReaderWaitWithinABoundAndAllArrive() throws {
        var configuration = ServerConfiguration(endpoints: [folder.endpoint()])
        configuration.lentBytes = 8 << 20
        let server = try TestServer(configuration)
        defer { server.stop() }
        let client = RawClient(server.endpoint, options: [(ZMQ_RCVHWM, 1)])
        let size = 3 << 20
        for index in 0..<30 {
            client.send(#"{"id":"\#(index)","op":"fill","params":{"bytes":\#(size)}}"#)
        }
        #expect(waitUntil { server.server.counters.waitingBytes >= 20 * size })
        #expect((1...8 << 20).contains(server.server.counters.lentBytes))
        // Another client is not in its way.
        let other = try Client(endpoint: server.endpoint)
        #expect(
            try other.call(op: "fill", params: ["bytes": .integer(size)]).outputs[0].frame.count
                == size)
        for _ in 0..<30 { #expect(try client.receiveReply().outputs[0].frame.count == size) }
        #expect(waitUntil { server.server.counters.waitingBytes == 0 })
        #expect(waitUntil { server.server.counters.overflowedReplies == 0 })
    }

    @Test func controlEndpointsAreKnownAsSuch() throws {
        let server = try TestServer(folder.endpoint(), control: [folder.endpoint("b.sock")])
        defer { server.stop() }
        #expect(server.server.boundEndpoints == [folder.endpoint(), folder.endpoint("b.sock")])
        for (index, endpoint) in server.server.boundEndpoints.enumerated() {
            let reply = try Client(endpoint: endpoint).call(op: "ping")
            #expect(reply.result["control"] == .bool(index == 1))
        }
    }

    @Test(arguments: [false, true])
    func requestSocketsAreServed(withCorrelation: Bool) throws {
        let server = try TestServer(folder.endpoint())
        defer { server.stop() }
        let client = RawClient(
            server.endpoint, type: ZMQ_REQ,
            options: withCorrelation
                ? [(ZMQ_REQ_CORRELATE, Int32(1)), (ZMQ_REQ_RELAXED, Int32(1))] : [])
        for index in 0..<5 {
            client.send(#"{"id":"\#(index)","op":"ping"}"#)
            #expect(try client.receiveReply().id == "\(index)")
        }
        client.send([Array("GD02".utf8)])
        #expect(try client.receiveReply().error?.code == .unsupportedVersion)
        guard withCorrelation else { return }
        // With correlation a request may be sent again before its reply.
        client.send(#"{"id":"h","op":"hold"}"#)
        #expect(server.waitForHeld(1))
        client.send(#"{"id":"h","op":"hold"}"#)
        #expect(waitUntil { server.server.counters.joined == 1 })
        server.releaseAll()
        #expect(try client.receiveReply().id == "h")
    }

    @Test func tenThousandPings() throws {
        let server = try TestServer(folder.endpoint())
        defer { server.stop() }
        let client = try Client(endpoint: server.endpoint)
        for _ in 0..<5_000 { _ = try client.call(op: "ping") }
        // All at once, from a thread of their own: the replies must not wait for one another.
        let raw = RawClient(server.endpoint, options: [(ZMQ_SNDHWM, 0), (ZMQ_RCVHWM, 0)])
        for index in 0..<5_000 { raw.send(#"{"id":"\#(index)","op":"ping"}"#) }
        for index in 0..<5_000 {
            let reply = try raw.receiveReply()
            #expect(reply.id == "\(index)")
        }
        #expect(waitUntil { server.server.counters.sent == 10_000 })
        #expect(server.server.counters.inFlight == 0)
    }

    @Test func manyClientsAtOnce() throws {
        let server = try TestServer(folder.endpoint())
        defer { server.stop() }
        let failures = Mutex(0)
        let endpoint = server.endpoint
        let threads = (0..<24).map { number in
            TestThread {
                do {
                    let client = try Client(endpoint: endpoint)
                    for index in 0..<40 {
                        let values = [Float](repeating: Float(number * 1000 + index), count: 50)
                        let input = Tensor(name: "x", shape: [50], values: values)
                        let reply = try client.call(
                            op: index % 2 == 0 ? "echo" : "elsewhere", inputs: [input])
                        if index % 2 == 0, reply.outputs[0].frame != input.frame {
                            failures.withLock { $0 += 1 }
                        }
                    }
                } catch {
                    failures.withLock { $0 += 1 }
                }
            }
        }
        for thread in threads { thread.join() }
        #expect(failures.withLock { $0 } == 0)
        #expect(waitUntil { server.server.counters.sent == 24 * 40 })
    }

    @Test func garbageIsAnsweredAndHarmsNobody() throws {
        let server = try TestServer("tcp://127.0.0.1:*")
        defer { server.stop() }
        let raw = RawClient(server.endpoint)
        raw.send([[]])
        // An empty first frame is a delimiter, and comes back.
        let answer = raw.receive()
        #expect(answer.first?.count == 0)
        #expect(try replyBehindEnvelope(answer).error?.code == .unsupportedVersion)
        var generator = SeededGenerator(seed: 5)
        for _ in 0..<300 {
            let frames = (0..<Int.random(in: 1...6, using: &generator)).map { _ in
                (0..<Int.random(in: 1...200, using: &generator)).map { _ in
                    UInt8.random(in: 0...255, using: &generator)
                }
            }
            raw.send(frames)
            #expect(try raw.receiveReply().status == .error)
        }
        // Bytes that are not even the transport's.
        let port = try #require(UInt16(server.endpoint.split(separator: ":").last ?? ""))
        let plain = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { Glibc.close(plain) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(plain, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        #expect(connected == 0)
        #expect(write(plain, "GET / HTTP/1.1\r\nHost: x\r\n\r\n", 27) > 0)
        _ = try Client(endpoint: server.endpoint).call(op: "ping")
    }

    @Test func aMessageOfAHundredThousandFramesIsRefused() throws {
        let server = try TestServer(folder.endpoint())
        defer { server.stop() }
        let raw = RawClient(server.endpoint)
        raw.send(
            [WireProtocol.magic, Array(#"{"id":"a","op":"echo"}"#.utf8)]
                + [[UInt8]](repeating: [1], count: 100_000))
        let fault = try raw.receiveReply().error
        #expect(fault?.code == .tooLarge)
        #expect(
            fault?.message.contains("100000 tensor frames") == true, "\(String(describing: fault))")
        raw.send(#"{"id":"b","op":"ping"}"#)
        #expect(try raw.receiveReply().id == "b")
    }

    @Test func aClientThatDiesInFlightIsForgotten() throws {
        let server = try TestServer(folder.endpoint())
        defer { server.stop() }
        let raw = RawClient(server.endpoint)
        raw.send(#"{"id":"x","op":"hold"}"#)
        raw.send(#"{"id":"y","op":"hold"}"#)
        #expect(server.waitForHeld(2))
        raw.close()
        let first = try #require(server.held.withLock { $0.first })
        // The library needs a moment to notice; until then replies go to its queue.
        #expect(
            waitUntil {
                server.server.reply(
                    Reply(answering: first, status: .partial), to: first.client)
                return server.server.counters.unreachableReplies > 0
            })
        #expect(server.abandoned.withLock { $0 } == ["x", "y"])
        #expect(waitUntil { server.server.counters.inFlight == 0 })
        server.releaseAll()
        #expect(waitUntil { server.server.counters.unmatchedReplies >= 2 })
        _ = try Client(endpoint: server.endpoint).call(op: "ping")
    }

    @Test func aSlowReaderHoldsUpNobodyElse() throws {
        var configuration = ServerConfiguration(endpoints: [folder.endpoint()])
        configuration.highWaterMark = 4
        configuration.outboxReplies = 10
        configuration.lingerMilliseconds = 0
        let server = try TestServer(configuration)
        defer { server.stop() }
        let slow = RawClient(server.endpoint, options: [(ZMQ_RCVHWM, 1), (ZMQ_SNDHWM, 0)])
        let client = try Client(endpoint: server.endpoint, timeoutMilliseconds: 10_000)
        for index in 0..<120 {
            slow.send(#"{"id":"\#(index)","op":"fill","params":{"bytes":200000}}"#)
            if index % 20 == 0 { _ = try client.call(op: "ping") }
        }
        #expect(waitUntil { server.server.counters.overflowedReplies > 50 })
        _ = try client.call(op: "ping")
        // What was not dropped arrives whole and in order once it is read.
        var last = -1
        var received = 0
        while waitUntilReadable(slow, server, received) {
            let reply = try slow.receiveReply()
            let number = try #require(reply.id.flatMap { Int($0) })
            #expect(number > last)
            #expect(reply.outputs[0].frame.count == 200_000)
            last = number
            received += 1
        }
        #expect(received >= 10)
        let counters = server.server.counters
        #expect(received + counters.overflowedReplies == 120)
        func lines(_ text: String) -> Int {
            server.log.withLock { $0.filter { $0.contains(text) }.count }
        }
        #expect(lines("does not read") == 1)
        #expect(waitUntil { lines("reads again") == 1 })
        slow.send(#"{"id":"end","op":"ping"}"#)
        #expect(try slow.receiveReply().id == "end")
    }

    /// Whether replies are still due to the slow reader.
    private func waitUntilReadable(
        _ client: RawClient, _ server: TestServer, _ received: Int
    ) -> Bool {
        received + server.server.counters.overflowedReplies < 120
    }

    @Test func partialRepliesArriveBeforeTheFinalOne() throws {
        let server = try TestServer(folder.endpoint())
        defer { server.stop() }
        var parts = 0
        let reply = try Client(endpoint: server.endpoint).call(op: "parts") { part in
            #expect(part.status == .partial)
            parts += 1
        }
        #expect(parts == 3 && reply.status == .ok)
    }

    @Test func aCallThatTimesOutLeavesTheClientUsable() throws {
        let server = try TestServer(folder.endpoint())
        defer { server.stop() }
        let client = try Client(endpoint: server.endpoint, timeoutMilliseconds: 10_000)
        #expect(
            throws: ClientError.timeout(
                op: "hold", endpoint: server.endpoint, milliseconds: 50)
        ) {
            try client.call(op: "hold", timeoutMilliseconds: 50)
        }
        server.releaseAll()
        // The late reply is passed over.
        #expect(try client.call(op: "ping").op == "ping")
        #expect(throws: ClientError.refused(WireFault(.unknownOp, "dance"))) {
            try client.call(op: "dance")
        }
    }
}
