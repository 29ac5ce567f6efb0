import CZeroMQ
import Glibc
import IPC
import JSON
import Synchronization

/// A thread that runs one closure and can be joined once.
final class TestThread {
    private var thread = pthread_t()

    private final class Body {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    init(_ run: @escaping @Sendable () -> Void) {
        let body = Unmanaged.passRetained(Body(run)).toOpaque()
        let result = pthread_create(
            &thread, nil,
            { body in
                if let body { Unmanaged<Body>.fromOpaque(body).takeRetainedValue().run() }
                return nil
            }, body)
        precondition(result == 0)
    }

    func join() { pthread_join(thread, nil) }
}

/// A folder of its own for socket files, removed with what is in it.
final class TemporaryFolder {
    let path: String

    init() {
        var name = Array("/tmp/guidanced-ipc-XXXXXX".utf8CString)
        precondition(mkdtemp(&name) != nil)
        path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        for name in ["a.sock", "b.sock", "c.sock"] { unlink("\(path)/\(name)") }
        rmdir(path)
    }

    func endpoint(_ name: String = "a.sock") -> String { "ipc://\(path)/\(name)" }
}

/// A server with simple operations, on a thread of its own.
///
/// `ping` answers at once; `echo` sends the inputs back; `elsewhere` answers from another thread;
/// `parts` sends three partial replies first; `hold` waits for `release(_:)`; `fill` answers with
/// `params.bytes` bytes; everything else is an `unknown_op`.
final class TestServer: Sendable {
    let server: Server
    private let thread: TestThreadBox
    let held = Mutex<[Request]>([])
    let abandoned = Mutex<[String]>([])
    let log = Mutex<[String]>([])

    private final class TestThreadBox: @unchecked Sendable {
        // Invariant: set once right after creation, joined once.
        var thread: TestThread?
    }

    private final class Route: @unchecked Sendable {
        // Invariant: set before the server's thread starts.
        weak var owner: TestServer?
    }

    init(_ configuration: ServerConfiguration) throws {
        let route = Route()
        server = try Server(
            configuration: configuration,
            log: { level, line in route.owner?.log.withLock { $0.append("\(level) \(line)") } },
            abandoned: { _, id in route.owner?.abandoned.withLock { $0.append(id) } },
            handler: { request in route.owner?.handle(request) },
            background: { piece in _ = TestThread(piece) })
        thread = TestThreadBox()
        route.owner = self
        let server = self.server
        thread.thread = TestThread { server.run() }
    }

    convenience init(_ endpoint: String, control: [String] = []) throws {
        try self.init(ServerConfiguration(endpoints: [endpoint], controlEndpoints: control))
    }

    var endpoint: String { server.boundEndpoints[0] }

    private func handle(_ request: Request) {
        switch request.op {
        case "ping":
            let control = JSONObject([("control", .bool(request.isControl))])
            server.reply(Reply(answering: request, result: control), to: request.client)
        case "echo":
            server.reply(Reply(answering: request, outputs: request.inputs), to: request.client)
        case "elsewhere":
            let server = self.server
            _ = TestThread {
                server.reply(Reply(answering: request), to: request.client)
            }
        case "parts":
            for _ in 0..<3 {
                server.reply(Reply(answering: request, status: .partial), to: request.client)
            }
            server.reply(Reply(answering: request), to: request.client)
        case "fill":
            let size = request.params["bytes"]?.intValue ?? 0
            let output = Tensor(name: "filler", bytes: [UInt8](repeating: 1, count: size))
            server.reply(Reply(answering: request, outputs: [output]), to: request.client)
        case "hold":
            held.withLock { $0.append(request) }
        default:
            server.reply(
                Reply(failing: request, with: WireFault(.unknownOp, request.op)),
                to: request.client)
        }
    }

    /// Waits until `count` requests are held.
    func waitForHeld(_ count: Int) -> Bool {
        waitUntil { self.held.withLock { $0.count } >= count }
    }

    /// Answers every held request.
    func releaseAll() {
        let requests = held.withLock { held in
            defer { held = [] }
            return held
        }
        for request in requests {
            server.reply(Reply(answering: request), to: request.client)
        }
    }

    func join() { thread.thread?.join() }

    func stop(drain: Bool = false) {
        server.stop(drain: drain)
        join()
    }
}

/// Looks every millisecond whether something has come true; gives up after half a minute.
func waitUntil(_ condition: () -> Bool) -> Bool {
    for _ in 0..<30_000 {
        if condition() { return true }
        usleep(1000)
    }
    return condition()
}

/// A client of bare frames, as one that knows only `protocol.md` might be.
final class RawClient {
    private let context: UnsafeMutableRawPointer?
    private let socket: UnsafeMutableRawPointer?

    init(_ endpoint: String, type: Int32 = ZMQ_DEALER, options: [(Int32, Int32)] = []) {
        context = zmq_ctx_new()
        socket = zmq_socket(context, type)
        for (option, value) in [(ZMQ_LINGER, 0), (ZMQ_RCVTIMEO, 30_000), (ZMQ_SNDTIMEO, 30_000)]
            + options
        {
            var value = value
            precondition(zmq_setsockopt(socket, option, &value, MemoryLayout<Int32>.size) == 0)
        }
        precondition(zmq_connect(socket, endpoint) == 0)
    }

    deinit { close() }

    private var isClosed = false

    func close() {
        if isClosed { return }
        isClosed = true
        zmq_close(socket)
        zmq_ctx_term(context)
    }

    func send(_ frames: [[UInt8]]) {
        for (index, frame) in frames.enumerated() {
            let flags = index + 1 < frames.count ? ZMQ_SNDMORE : 0
            precondition(zmq_send(socket, frame, frame.count, flags) >= 0)
        }
    }

    func send(_ header: String) { send([WireProtocol.magic, Array(header.utf8)]) }

    /// The next message; empty after half a minute without one.
    func receive() -> [Frame] {
        var frames: [Frame] = []
        while true {
            var message = zmq_msg_t()
            zmq_msg_init(&message)
            defer { zmq_msg_close(&message) }
            guard zmq_msg_recv(&message, socket, 0) >= 0 else { return [] }
            frames.append(
                Frame(
                    [UInt8](
                        UnsafeRawBufferPointer(
                            start: zmq_msg_data(&message), count: zmq_msg_size(&message)))))
            if zmq_msg_more(&message) == 0 { return frames }
        }
    }

    func receiveReply() throws -> Reply { try MessageCodec.decodeReply(receive()) }
}
