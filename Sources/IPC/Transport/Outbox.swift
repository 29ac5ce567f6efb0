/// Replies that wait for readers whose queue in the transport is full.
///
/// One slow reader costs the others nothing: its replies wait here up to a bound, and are dropped
/// beyond it. The client notices a dropped reply by its own timeout, and may safely ask again.
struct Outbox {
    private struct Queue {
        var messages: [[Frame]] = []
        /// The first message that still waits.
        var head = 0
        var bytes = 0
        var dropped = 0

        var waiting: Int { messages.count - head }
    }

    enum Flushed: Equatable {
        case unreachable(ClientAddress, dropped: Int)
        case failed(ClientAddress, reason: String)
        /// Everything was delivered, after `dropped` replies had been lost.
        case caughtUp(ClientAddress, dropped: Int)
    }

    let repliesPerClient: Int
    let bytesPerClient: Int
    private var queues: [ClientAddress: Queue] = [:]

    init(repliesPerClient: Int, bytesPerClient: Int) {
        self.repliesPerClient = repliesPerClient
        self.bytesPerClient = bytesPerClient
    }

    var isEmpty: Bool { queues.isEmpty }

    /// Whether replies to this client must wait their turn.
    func isWaiting(_ client: ClientAddress) -> Bool { queues[client] != nil }

    enum Added: Equatable {
        case waits
        /// The bound is reached; `isFirst` when this is the first loss since the client caught up.
        case dropped(isFirst: Bool)
    }

    mutating func add(_ message: [Frame], for client: ClientAddress) -> Added {
        let bytes = message.reduce(0) { $0 + $1.count }
        var queue = queues.removeValue(forKey: client) ?? Queue()
        defer { queues[client] = queue }
        // One reply may be larger than the bound: it waits alone.
        let isFull =
            queue.waiting >= repliesPerClient
            || (queue.waiting > 0 && queue.bytes + bytes > bytesPerClient)
        if isFull {
            queue.dropped += 1
            return .dropped(isFirst: queue.dropped == 1)
        }
        queue.messages.append(message)
        queue.bytes += bytes
        return .waits
    }

    /// Sends what can be sent.
    ///
    /// - Parameter send: hands one message to the transport.
    /// - Returns: what the caller should know about; and how many messages were sent.
    mutating func flush(
        _ send: (ClientAddress, [Frame]) -> ZMQSocket.SendResult
    ) -> (events: [Flushed], sent: Int) {
        var events: [Flushed] = []
        var sent = 0
        for client in Array(queues.keys) {
            guard var queue = queues.removeValue(forKey: client) else { continue }
            var isOpen = true
            while isOpen, queue.head < queue.messages.count {
                let message = queue.messages[queue.head]
                switch send(client, message) {
                case .sent:
                    sent += 1
                    queue.bytes -= message.reduce(0) { $0 + $1.count }
                    queue.messages[queue.head] = []
                    queue.head += 1
                case .full: isOpen = false
                case .unreachable:
                    events.append(.unreachable(client, dropped: queue.waiting))
                    isOpen = false
                    queue.messages = []
                case .failed(let reason):
                    events.append(.failed(client, reason: reason))
                    queue.messages[queue.head] = []
                    queue.head += 1
                }
            }
            if isOpen {
                events.append(.caughtUp(client, dropped: queue.dropped))
            } else if !queue.messages.isEmpty {
                if queue.head > 64 {
                    queue.messages.removeFirst(queue.head)
                    queue.head = 0
                }
                queues[client] = queue
            }
        }
        return (events, sent)
    }
}
