/// Replies that wait for readers whose queue in the transport is full.
///
/// One slow reader costs the others nothing: its replies wait here up to a bound, and are dropped
/// beyond it. The client notices a dropped reply by its own timeout, and may safely ask again.
package struct Outbox {
    private struct Queue {
        var messages: [[Frame]] = []
        /// The first message that still waits.
        var head = 0
        var bytes = 0
        var dropped = 0

        var waiting: Int { messages.count - head }
    }

    package enum Added: Equatable {
        case waits
        /// A bound is reached; `isFirst` when this is the first loss since the client caught up.
        case dropped(isFirst: Bool)
    }

    package enum Event: Equatable {
        case unreachable(ClientAddress, dropped: Int)
        case failed(ClientAddress, reason: String)
        /// Everything was delivered, after `dropped` replies had been lost.
        case caughtUp(ClientAddress, dropped: Int)
    }

    private let repliesPerClient: Int
    private let bytesPerClient: Int
    private let bytesInAll: Int
    private var queues: [ClientAddress: Queue] = [:]
    /// Bytes that wait for all clients.
    package private(set) var bytes = 0

    package init(repliesPerClient: Int, bytesPerClient: Int, bytesInAll: Int) {
        self.repliesPerClient = repliesPerClient
        self.bytesPerClient = bytesPerClient
        self.bytesInAll = bytesInAll
    }

    package var isEmpty: Bool { queues.isEmpty }

    /// Whether replies to this client must wait their turn.
    package func isWaiting(_ client: ClientAddress) -> Bool { queues[client] != nil }

    package mutating func add(_ message: [Frame], for client: ClientAddress) -> Added {
        let size = Outbox.size(message)
        var queue = queues.removeValue(forKey: client) ?? Queue()
        defer { queues[client] = queue }
        // One reply may be larger than the client's bound: it waits alone.
        let isFull =
            queue.waiting >= repliesPerClient
            || (queue.waiting > 0 && queue.bytes + size > bytesPerClient)
            || (bytes > 0 && bytes + size > bytesInAll)
        if isFull {
            queue.dropped += 1
            return .dropped(isFirst: queue.dropped == 1)
        }
        queue.messages.append(message)
        queue.bytes += size
        bytes += size
        return .waits
    }

    /// Sends what can be sent.
    ///
    /// - Parameter send: hands one message to the transport.
    /// - Returns: what the caller should know about, and how many messages were sent.
    package mutating func flush(
        _ send: (ClientAddress, [Frame]) -> SendResult
    ) -> (events: [Event], sent: Int) {
        var events: [Event] = []
        var sent = 0
        for client in Array(queues.keys) {
            guard var queue = queues.removeValue(forKey: client) else { continue }
            bytes -= queue.bytes
            sent += Outbox.flush(&queue, of: client, into: &events, send)
            if queue.waiting > 0 {
                bytes += queue.bytes
                queues[client] = queue
            }
        }
        return (events, sent)
    }

    private static func flush(
        _ queue: inout Queue, of client: ClientAddress, into events: inout [Event],
        _ send: (ClientAddress, [Frame]) -> SendResult
    ) -> Int {
        var sent = 0
        while queue.waiting > 0 {
            let message = queue.messages[queue.head]
            switch send(client, message) {
            case .sent: sent += 1
            case .failed(let reason): events.append(.failed(client, reason: reason))
            case .full:
                // What was sent is let go of now and then, not one by one.
                if queue.head > 64 {
                    queue.messages.removeFirst(queue.head)
                    queue.head = 0
                }
                return sent
            case .unreachable:
                events.append(.unreachable(client, dropped: queue.waiting))
                queue = Queue()
                return sent
            }
            queue.bytes -= size(message)
            queue.messages[queue.head] = []
            queue.head += 1
        }
        events.append(.caughtUp(client, dropped: queue.dropped))
        return sent
    }

    private static func size(_ message: [Frame]) -> Int {
        message.reduce(0) { $0 + $1.count }
    }
}
