import Glibc
import IPC
import JSON
import Testing

@Suite(.timeLimit(.minutes(1))) struct LifecycleTests {
    private let folder = TemporaryFolder()
    private var path: String { folder.path + "/a.sock" }

    private func mode(_ path: String) -> mode_t? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode : nil
    }

    @Test func theSocketFileIsPrivateAndGoesWithTheServer() throws {
        let server = try TestServer(folder.endpoint())
        #expect(mode(path) == S_IFSOCK | 0o600)
        server.stop()
        #expect(mode(path) == nil)
        for _ in 0..<5 {
            let next = try TestServer(folder.endpoint())
            _ = try Client(endpoint: next.endpoint).call(op: "ping")
            next.stop()
        }
    }

    @Test func aRunningServerKeepsItsSocket() throws {
        let server = try TestServer(folder.endpoint())
        defer { server.stop() }
        #expect(
            throws: TransportError.endpoint(
                folder.endpoint(), reason: "another process listens there already")
        ) { try TestServer(folder.endpoint()) }
        _ = try Client(endpoint: server.endpoint).call(op: "ping")
    }

    @Test func aSocketFileLeftBehindIsReplaced() throws {
        // What a daemon leaves that was killed: a bound socket file and nobody behind it.
        let socket = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.bind(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        #expect(bound == 0)
        close(socket)
        #expect(mode(path) != nil)
        #expect(
            throws: TransportError.endpoint(
                folder.endpoint(), reason: "nobody listens there; is the daemon running?")
        ) { try Client(endpoint: folder.endpoint()) }
        let server = try TestServer(folder.endpoint())
        defer { server.stop() }
        _ = try Client(endpoint: server.endpoint).call(op: "ping")
    }

    @Test func aFileThatIsNoSocketIsLeftAlone() throws {
        let file = open(path, O_CREAT | O_WRONLY, 0o644)
        #expect(write(file, "mine", 4) == 4)
        close(file)
        #expect(
            throws: TransportError.endpoint(
                folder.endpoint(), reason: "a file that is not a socket has this name")
        ) { try TestServer(folder.endpoint()) }
        #expect(mode(path) == S_IFREG | 0o644)
    }

    @Test func aServerThatCannotBindAllItsEndpointsLeavesNothingBehind() throws {
        let endpoints = [folder.endpoint(), "tcp://0.0.0.0:*"]
        #expect(throws: TransportError.self) {
            try TestServer(ServerConfiguration(endpoints: endpoints))
        }
        #expect(mode(path) == nil)
    }

    @Test func aPortInUseIsRefused() throws {
        let server = try TestServer("tcp://127.0.0.1:*")
        defer { server.stop() }
        #expect(
            throws: TransportError.endpoint(server.endpoint, reason: "Address already in use")
        ) { try TestServer(server.endpoint) }
    }

    @Test func aClientIsToldAtOnceThatNobodyIsThere() {
        #expect(
            throws: TransportError.endpoint(
                folder.endpoint(), reason: "no such file; is the daemon running?")
        ) { try Client(endpoint: folder.endpoint()) }
    }

    @Test func drainingAnswersWhatIsInFlightAndRefusesTheRest() throws {
        let server = try TestServer(folder.endpoint())
        let raw = RawClient(server.endpoint)
        raw.send(#"{"id":"old","op":"hold"}"#)
        #expect(server.waitForHeld(1))
        server.server.stop(drain: true)
        // The socket thread may read a message before it hears of the stop.
        var refusal: ErrorCode?
        for attempt in 0..<1000 where refusal == nil {
            raw.send(#"{"id":"new\#(attempt)","op":"echo"}"#)
            refusal = try raw.receiveReply().error?.code
        }
        #expect(refusal == .shuttingDown)
        raw.send(#"{"id":"look","op":"ping"}"#)
        #expect(try raw.receiveReply().id == "look")
        server.releaseAll()
        let last = try raw.receiveReply()
        #expect(last.id == "old" && last.status == .ok)
        server.join()
        #expect(mode(path) == nil)
    }

    @Test func stoppingAtOnceAnswersWhatIsInFlight() throws {
        let server = try TestServer(folder.endpoint())
        let raw = RawClient(server.endpoint)
        raw.send(#"{"id":"a","op":"hold"}"#)
        raw.send(#"{"id":"b","op":"hold"}"#)
        #expect(server.waitForHeld(2))
        server.server.stop(drain: true)
        server.server.stop(drain: false)
        var answered: Set<String> = []
        for _ in 0..<2 {
            let reply = try raw.receiveReply()
            #expect(reply.error?.code == .shuttingDown)
            answered.insert(reply.id ?? "")
        }
        #expect(answered == ["a", "b"])
        server.join()
        // Replies after the end go nowhere, quietly.
        server.releaseAll()
        #expect(server.server.counters.inFlight == 0)
    }

    @Test(arguments: [
        "", "ipc://", "ipc://*", "ipc://@", "ipc:///tmp/", "inproc://x", "tcp://127.0.0.1",
        "tcp://127.0.0.1:", "tcp://127.0.0.1:x", "tcp://127.0.0.1:65536", "tcp://0.0.0.0:5555",
        "tcp://*:5555", "tcp://192.168.1.1:5555", "tcp://127.0.0.256:1", "tcp://127.1:1",
        "tcp://localhost:5555", "tcp://[::]:5555", "tcp://eth0:5555", "tcp://127.0.0.1:-1",
        "ipc:///tmp/\(String(repeating: "x", count: 200))", "ipc:///tmp/a\0b",
    ])
    func endpointsThatMustNotBeBoundAreRefused(endpoint: String) {
        #expect(throws: TransportError.self) {
            try Server(configuration: ServerConfiguration(endpoints: [endpoint])) { _ in }
        }
    }

    @Test func aServerNeedsAnEndpoint() {
        #expect(throws: TransportError.self) {
            try Server(configuration: ServerConfiguration(endpoints: [])) { _ in }
        }
    }
}
