import CZeroMQ
import Glibc
import Synchronization

/// A messaging context: its I/O thread and everything in flight. Ends in `deinit`, which waits for
/// the linger of its sockets.
final class ZMQContext {
    fileprivate let handle: UnsafeMutableRawPointer

    init() throws(TransportError) {
        guard let handle = zmq_ctx_new() else {
            throw .system(call: "zmq_ctx_new", reason: ZMQSocket.reason())
        }
        self.handle = handle
    }

    deinit {
        while zmq_ctx_term(handle) != 0, zmq_errno() == EINTR {}
    }
}

/// One socket. Used by one thread at a time; closed in `deinit`.
final class ZMQSocket {
    let handle: UnsafeMutableRawPointer
    // Held so that the context outlives its sockets.
    private let context: ZMQContext

    init(_ context: ZMQContext, type: Int32) throws(TransportError) {
        guard let handle = zmq_socket(context.handle, type) else {
            throw .system(call: "zmq_socket", reason: ZMQSocket.reason())
        }
        self.handle = handle
        self.context = context
    }

    deinit {
        zmq_close(handle)
    }

    func set(_ option: Int32, _ value: Int32) throws(TransportError) {
        var value = value
        guard zmq_setsockopt(handle, option, &value, MemoryLayout<Int32>.size) == 0 else {
            throw .system(call: "zmq_setsockopt(\(option))", reason: ZMQSocket.reason())
        }
    }

    func set(_ option: Int32, _ value: Int64) throws(TransportError) {
        var value = value
        guard zmq_setsockopt(handle, option, &value, MemoryLayout<Int64>.size) == 0 else {
            throw .system(call: "zmq_setsockopt(\(option))", reason: ZMQSocket.reason())
        }
    }

    func bind(_ endpoint: String) throws(TransportError) {
        guard zmq_bind(handle, endpoint) == 0 else {
            throw .endpoint(endpoint, reason: ZMQSocket.reason())
        }
    }

    func connect(_ endpoint: String) throws(TransportError) {
        guard zmq_connect(handle, endpoint) == 0 else {
            throw .endpoint(endpoint, reason: ZMQSocket.reason())
        }
    }

    /// The endpoint bound last, with the port that a wildcard became.
    func lastEndpoint() throws(TransportError) -> String {
        var buffer = [UInt8](repeating: 0, count: 512)
        var size = buffer.count
        guard zmq_getsockopt(handle, ZMQ_LAST_ENDPOINT, &buffer, &size) == 0 else {
            throw .system(call: "zmq_getsockopt", reason: ZMQSocket.reason())
        }
        return String(decoding: buffer.prefix { $0 != 0 }, as: UTF8.self)
    }

    static func reason() -> String { String(cString: zmq_strerror(zmq_errno())) }
}

/// What became of a message that was sent without waiting.
package enum SendResult: Equatable {
    case sent
    /// The peer's queue is full.
    case full
    /// There is no such peer.
    case unreachable
    case failed(String)
}

extension ZMQSocket {
    /// A message of several frames as it arrived.
    struct Incoming {
        /// The first frames, as many as were asked for.
        var frames: [Frame] = []
        /// How many more there were.
        var droppedFrames = 0
    }

    /// Takes the next message without waiting; `nil` when there is none.
    ///
    /// Frames beyond `frameLimit` are read and let go one by one, so that a message of very many
    /// frames costs no memory here.
    func receive(frameLimit: Int) throws(TransportError) -> Incoming? {
        var incoming = Incoming()
        while true {
            let message = try ReceivedMessage()
            if zmq_msg_recv(message.pointer, handle, ZMQ_DONTWAIT) < 0 {
                if zmq_errno() == EINTR { continue }
                // The frames of a message arrive together: none after the first can be missing.
                if zmq_errno() == EAGAIN, incoming.frames.isEmpty { return nil }
                throw .system(call: "zmq_msg_recv", reason: ZMQSocket.reason())
            }
            if incoming.frames.count < frameLimit {
                message.seal()
                incoming.frames.append(Frame(memory: message))
            } else {
                incoming.droppedFrames += 1
            }
            if zmq_msg_more(message.pointer) == 0 { return incoming }
        }
    }

    /// Sends a message without waiting: all of its frames or none.
    ///
    /// - Parameter accounts: where the memory is counted that the library holds until it is sent.
    func send(_ frames: [Frame], accounts: [LentBytes] = []) -> SendResult {
        withUnsafeTemporaryAllocation(of: zmq_msg_t.self, capacity: max(frames.count, 1)) {
            messages -> SendResult in
            var code: Int32 = 0
            let outcome = MultipartSend.run(
                count: frames.count,
                make: { index in
                    messages.initializeElement(at: index, to: zmq_msg_t())
                    let isMade = frames[index].makeMessage(&messages[index], accounts)
                    if !isMade { code = zmq_errno() }
                    return isMade
                },
                send: { index, hasMore in
                    let flags = hasMore ? ZMQ_DONTWAIT | ZMQ_SNDMORE : ZMQ_DONTWAIT
                    while zmq_msg_send(&messages[index], handle, flags) < 0 {
                        code = zmq_errno()
                        if code != EINTR { return false }
                    }
                    return true
                },
                close: {
                    while zmq_send(handle, nil, 0, ZMQ_DONTWAIT) < 0, zmq_errno() == EINTR {}
                },
                discard: { for index in $0 { zmq_msg_close(&messages[index]) } })
            // Only the first frame chooses the peer and can find it full or gone.
            switch (outcome, code) {
            case (.sent, _): return .sent
            case (.failedBefore, EAGAIN): return .full
            case (.failedBefore, EHOSTUNREACH): return .unreachable
            default: return .failed(String(cString: zmq_strerror(code)))
            }
        }
    }
}

/// Counts memory that the messaging library still reads.
package final class LentBytes: Sendable {
    private let count = Atomic(0)

    package init() {}

    package var value: Int { count.load(ordering: .relaxed) }

    fileprivate func add(_ bytes: Int) { count.add(bytes, ordering: .relaxed) }
    fileprivate func subtract(_ bytes: Int) { count.subtract(bytes, ordering: .relaxed) }
}

/// A frame's memory while the library has it.
private final class Loan {
    private let memory: any FrameMemory
    private let bytes: Int
    private let accounts: [LentBytes]

    init(_ memory: any FrameMemory, _ bytes: Int, _ accounts: [LentBytes]) {
        self.memory = memory
        self.bytes = bytes
        self.accounts = accounts
        for account in accounts { account.add(bytes) }
    }

    deinit {
        for account in accounts { account.subtract(bytes) }
    }
}

/// A received frame: owns the library's message.
private final class ReceivedMessage: FrameMemory, @unchecked Sendable {
    // Invariant: after `seal` the message is only read, and is closed by the last owner; the
    // library counts references to message content atomically.
    let pointer: UnsafeMutablePointer<zmq_msg_t>
    private(set) var bytes = UnsafeRawBufferPointer(start: nil, count: 0)

    init() throws(TransportError) {
        pointer = .allocate(capacity: 1)
        pointer.initialize(to: zmq_msg_t())
        zmq_msg_init(pointer)
    }

    deinit {
        zmq_msg_close(pointer)
        pointer.deallocate()
    }

    /// Notes where the content is, once it has been received.
    func seal() {
        bytes = UnsafeRawBufferPointer(
            start: zmq_msg_data(pointer), count: zmq_msg_size(pointer))
    }
}

extension Frame {
    /// Below this, copying is cheaper than keeping the memory alive until it is sent.
    private static let smallestLent = 64 << 10

    /// Bytes that the library would read from the frame's own memory.
    var lentBytes: Int { count >= Frame.smallestLent ? count : 0 }

    /// Fills an uninitialised message with the frame: a copy when it is small, otherwise the
    /// frame's own memory, which the library gives back when it has been sent.
    fileprivate func makeMessage(
        _ message: inout zmq_msg_t, _ accounts: [LentBytes]
    ) -> Bool {
        withUnsafeBytes { bytes in
            guard bytes.count >= Frame.smallestLent, let start = bytes.baseAddress else {
                guard zmq_msg_init_size(&message, bytes.count) == 0 else { return false }
                if let source = bytes.baseAddress, bytes.count > 0 {
                    memcpy(zmq_msg_data(&message), source, bytes.count)
                }
                return true
            }
            // The library reads this memory and never writes to it; the retained owner keeps it in
            // place, and is released by the I/O thread.
            let owner = Unmanaged.passRetained(
                Loan(memory, bytes.count, accounts) as AnyObject)
            let result = zmq_msg_init_data(
                &message, UnsafeMutableRawPointer(mutating: start), bytes.count,
                { _, owner in
                    if let owner { Unmanaged<AnyObject>.fromOpaque(owner).release() }
                }, owner.toOpaque())
            if result != 0 { owner.release() }
            return result == 0
        }
    }
}
