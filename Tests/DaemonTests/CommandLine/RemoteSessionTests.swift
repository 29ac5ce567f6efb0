import Daemon
import Glibc
import IPC
import JSON
import Synchronization
import System
import Testing

/// The command line's end of the wire against a real server with answers of our own.
@Suite struct RemoteSessionTests {
    /// Answers on a socket of its own until the value goes.
    private final class Responder {
        private final class State: Sendable {
            let server = Mutex<Server?>(nil)
            let received = Mutex<[Request]>([])
        }

        let endpoint: String
        private let folder: TemporaryFolder
        private let state = State()
        private let server: Server
        private let thread: SystemThread

        /// - Parameter answer: gets each request and how many came before it; `nil` is silence.
        init(_ answer: @escaping @Sendable (Request, Int) -> Reply?) throws {
            folder = try TemporaryFolder()
            endpoint = "ipc://\(folder.path)/s"
            let state = self.state
            let server = try Server(
                configuration: ServerConfiguration(endpoints: [endpoint]),
                handler: { request in
                    let count = state.received.withLock { received in
                        received.append(request)
                        return received.count - 1
                    }
                    guard let reply = answer(request, count) else { return }
                    state.server.withLock { $0 }?.reply(reply, to: request.client)
                })
            self.server = server
            state.server.withLock { $0 = server }
            thread = SystemThread(name: "server") { server.run() }
        }

        var requests: [Request] { state.received.withLock { $0 } }

        deinit {
            server.stop(drain: false)
            thread.join()
        }
    }

    private static func status(_ request: Request) -> Reply {
        Reply(answering: request, result: ["threads": 5])
    }

    @Test func asksForTheThreadsAndPassesRequestsOn() throws {
        let responder = try Responder { request, _ in
            request.op == "status"
                ? RemoteSessionTests.status(request)
                : Reply(
                    answering: request, model: "m", result: ["n": .integer(request.inputs.count)])
        }
        let session = try RemoteSession(
            endpoint: responder.endpoint, timeoutMilliseconds: 5000)
        #expect(session.batchSize == 20)
        let reply = try session.call(
            op: "score", model: "m", params: ["metric": "logit"],
            inputs: [Input(name: "image", bytes: [1, 2])])
        #expect(reply.result["n"] == 1)
        let request = try #require(responder.requests.last)
        #expect(request.op == "score" && request.model == "m")
        #expect(request.params["metric"] == "logit")
        #expect(request.inputs.first?.frame.array == [1, 2])
        let deadline = try #require(request.deadlineMilliseconds)
        #expect((1...5000).contains(deadline))
    }

    @Test func refusalsAreThrownAsFaults() throws {
        let responder = try Responder { request, _ in
            request.op == "status"
                ? RemoteSessionTests.status(request)
                : Reply(failing: request, with: WireFault(.unknownModel, "no such model"))
        }
        let session = try RemoteSession(
            endpoint: responder.endpoint, timeoutMilliseconds: 5000)
        #expect(throws: WireFault(.unknownModel, "no such model")) {
            try session.call(op: "score", model: "x", params: [:], inputs: [])
        }
    }

    @Test func anOverloadedDaemonIsAskedAgain() throws {
        let responder = try Responder { request, count in
            if request.op == "status" { return RemoteSessionTests.status(request) }
            return count < 3
                ? Reply(
                    failing: request,
                    with: WireFault(.overloaded, "full", retryAfterMilliseconds: 20))
                : Reply(answering: request, result: ["done": true])
        }
        let session = try RemoteSession(
            endpoint: responder.endpoint, timeoutMilliseconds: 5000)
        let reply = try session.call(op: "score", model: nil, params: [:], inputs: [])
        #expect(reply.result["done"] == true)
        #expect(responder.requests.count == 4)
    }

    @Test func aDaemonThatStaysOverloadedIsGivenUp() throws {
        let responder = try Responder { request, _ in
            request.op == "status"
                ? RemoteSessionTests.status(request)
                : Reply(
                    failing: request,
                    with: WireFault(.overloaded, "full", retryAfterMilliseconds: 60))
        }
        let session = try RemoteSession(endpoint: responder.endpoint, timeoutMilliseconds: 150)
        let error = try #require(throws: WireFault.self) {
            try session.call(op: "score", model: nil, params: [:], inputs: [])
        }
        #expect(CommandStatus(error) == .tryAgain)
        #expect(responder.requests.count >= 2)
    }

    @Test func theTimeoutIsTheWholeTimeOfARequest() throws {
        let responder = try Responder { request, _ in
            request.op == "status" ? RemoteSessionTests.status(request) : nil
        }
        let session = try RemoteSession(endpoint: responder.endpoint, timeoutMilliseconds: 400)
        let start = monotonicNow()
        let error = try #require(throws: ClientError.self) {
            try session.call(op: "score", model: nil, params: [:], inputs: [])
        }
        let elapsed = Double(monotonicNow() - start) / 1e6
        #expect(
            error
                == .timeout(op: "score", endpoint: responder.endpoint, milliseconds: 400))
        #expect((250.0..<1500).contains(elapsed), "\(elapsed) ms")
        let deadline = try #require(responder.requests.last?.deadlineMilliseconds)
        #expect((1..<400).contains(deadline))
    }

    @Test func connectingCountsAsPartOfTheFirstRequest() throws {
        // The greeting takes 300 ms; so much less is left for the first request, not the second.
        let responder = try Responder { request, _ in
            if request.op == "status" {
                var pause = timespec(tv_sec: 0, tv_nsec: 300_000_000)
                nanosleep(&pause, nil)
                return RemoteSessionTests.status(request)
            }
            return Reply(answering: request)
        }
        let session = try RemoteSession(endpoint: responder.endpoint, timeoutMilliseconds: 5000)
        for _ in 0..<2 {
            _ = try session.call(op: "score", model: nil, params: [:], inputs: [])
        }
        let deadlines = responder.requests.compactMap(\.deadlineMilliseconds)
        try #require(deadlines.count == 2)
        #expect(deadlines[0] <= 4500)
        #expect((4600...5000).contains(deadlines[1]))
    }

    @Test func aShortTimeoutHoldsForConnectingToo() throws {
        let responder = try Responder { _, _ in nil }
        let start = monotonicNow()
        let error = try #require(throws: NoDaemon.self) {
            try RemoteSession(endpoint: responder.endpoint, timeoutMilliseconds: 350)
        }
        #expect(Double(monotonicNow() - start) / 1e6 < 2000)
        #expect(error.reason == "no answer within 350 ms")
    }

    @Test func anEndpointWithoutDaemonSaysSo() throws {
        let folder = try TemporaryFolder()
        let endpoint = "ipc://\(folder.path)/none"
        let error = try #require(throws: NoDaemon.self) {
            try RemoteSession(endpoint: endpoint, timeoutMilliseconds: 1000)
        }
        #expect(error.description.contains(endpoint))
        #expect(CommandStatus(error) == .unavailable)
    }
}
