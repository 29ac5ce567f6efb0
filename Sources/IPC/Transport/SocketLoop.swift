import CZeroMQ
import Glibc
import System

/// The socket thread's work: receives, lets the state machine decide, sends. Never computes and
/// never waits for a client.
struct SocketLoop {
    /// Messages taken from one socket before the others and the replies have their turn.
    private static let burst = 32
    /// How often a full client queue is tried again, in milliseconds; the library cannot tell when
    /// one particular client reads on.
    private static let retryMilliseconds = 1

    private let sockets: ServerSockets
    private let mailbox: Mailbox
    private let log: LogSink
    private let abandoned: @Sendable (ClientAddress, String) -> Void
    private let handler: @Sendable (Request) -> Void
    private let background: Background
    private let frameLimit: Int
    private let lingerNanoseconds: UInt64

    private var machine: ServerStateMachine
    private var outbox: Outbox
    private var loans: Loans
    private var counters = ServerCounters()
    private var stop: Mailbox.StopMode?
    private var pollItems: [zmq_pollitem_t]

    init(
        sockets: ServerSockets, mailbox: Mailbox, configuration: ServerConfiguration,
        log: @escaping LogSink, abandoned: @escaping @Sendable (ClientAddress, String) -> Void,
        handler: @escaping @Sendable (Request) -> Void, background: @escaping Background
    ) {
        self.sockets = sockets
        self.mailbox = mailbox
        self.log = log
        self.abandoned = abandoned
        self.handler = handler
        self.background = background
        // The envelope, the protocol name, the header, and one tensor too many to notice it.
        frameLimit = configuration.limits.inputs + 11
        lingerNanoseconds = UInt64(max(configuration.lingerMilliseconds, 0)) * 1_000_000
        machine = ServerStateMachine(limits: configuration.limits)
        outbox = Outbox(
            repliesPerClient: configuration.outboxReplies,
            bytesPerClient: configuration.outboxBytes,
            bytesInAll: configuration.outboxBytesInAll)
        loans = Loans(
            perClient: configuration.lentBytes, inAll: configuration.lentBytesInAll)
        pollItems = sockets.bound.map { bound in
            zmq_pollitem_t(
                socket: bound.socket.handle, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0)
        }
        pollItems.append(
            zmq_pollitem_t(
                socket: nil, fd: mailbox.descriptor, events: Int16(ZMQ_POLLIN), revents: 0))
    }

    /// Serves until it is told to stop and everything is answered.
    mutating func run() {
        while stop != .now {
            var isBusy = receive()
            isBusy = takeMail() || isBusy
            flushOutbox()
            publishCounters()
            if stop == .drain, machine.inFlight == 0, machine.comparing == 0 { break }
            if !isBusy { sleep() }
        }
        finish()
    }

    /// Answers whatever is left and gives slow readers the linger to fetch their replies.
    private mutating func finish() {
        sockets.releaseNames()
        perform(machine.refuseInFlight())
        let end = monotonicNow() + lingerNanoseconds
        while !outbox.isEmpty, monotonicNow() < end {
            usleep(1000)
            flushOutbox()
        }
        mailbox.close(counters: merged())
    }

    /// - Returns: whether any message came.
    private mutating func receive() -> Bool {
        var isBusy = false
        for (index, bound) in sockets.bound.enumerated() {
            for _ in 0..<SocketLoop.burst {
                let incoming: ZMQSocket.Incoming?
                do {
                    incoming = try bound.socket.receive(frameLimit: frameLimit)
                } catch {
                    log(.error, "\(bound.endpoint): \(error)")
                    break
                }
                guard let incoming else { break }
                isBusy = true
                guard let routingID = incoming.frames.first else { break }
                let client = ClientAddress(socket: index, routingID: routingID.array)
                perform(
                    machine.receive(
                        frames: Array(incoming.frames.dropFirst()),
                        droppedFrames: incoming.droppedFrames, from: client,
                        isControl: bound.isControl, now: monotonicNow()))
            }
        }
        return isBusy
    }

    /// - Returns: whether there was anything to do.
    private mutating func takeMail() -> Bool {
        let mail = mailbox.take()
        for (reply, client) in mail.replies { perform(machine.complete(reply, for: client)) }
        for (comparison, isSame) in mail.comparisons {
            perform(machine.compared(comparison, isSame: isSame))
        }
        if let wanted = mail.stop, wanted != stop {
            stop = wanted
            machine.beginDraining()
            log(.info, "stopping, \(machine.inFlight) requests in flight")
            return true
        }
        return !mail.replies.isEmpty || !mail.comparisons.isEmpty
    }

    private mutating func perform(_ actions: [ServerStateMachine.Action]) {
        for action in actions {
            switch action {
            case .dispatch(let request): handler(request)
            case .abandon(let client, let id): abandoned(client, id)
            case .send(let client, let frames): send(frames, to: client)
            case .compare(let comparison):
                let mailbox = mailbox
                background { mailbox.post(comparison, isSame: comparison.isSame) }
            }
        }
    }

    private mutating func send(_ frames: [Frame], to client: ClientAddress) {
        let message = [Frame(client.routingID)] + frames
        if outbox.isWaiting(client) {
            addToOutbox(message, for: client)
            return
        }
        switch loans.send(message, to: client, on: sockets) {
        case .sent: counters.sent += 1
        case .full: addToOutbox(message, for: client)
        case .unreachable: lose(client, replies: 1)
        case .failed(let reason): log(.error, "reply to \(client): \(reason)")
        }
    }

    private mutating func addToOutbox(_ message: [Frame], for client: ClientAddress) {
        guard case .dropped(let isFirst) = outbox.add(message, for: client) else { return }
        counters.overflowedReplies += 1
        if isFirst { log(.warning, "\(client) does not read; its further replies are dropped") }
    }

    private mutating func flushOutbox() {
        if outbox.isEmpty { return }
        let sockets = sockets
        var loans = loans
        let flushed = outbox.flush { client, message in
            loans.send(message, to: client, on: sockets)
        }
        self.loans = loans
        counters.sent += flushed.sent
        for event in flushed.events {
            switch event {
            case .unreachable(let client, let dropped): lose(client, replies: dropped)
            case .failed(let client, let reason): log(.error, "reply to \(client): \(reason)")
            case .caughtUp(let client, let dropped) where dropped > 0:
                log(.warning, "\(client) reads again; \(dropped) replies were dropped")
            case .caughtUp: break
            }
        }
    }

    private mutating func lose(_ client: ClientAddress, replies: Int) {
        counters.unreachableReplies += replies
        log(.debug, "\(client) is gone; \(replies) replies dropped")
        // Under a name of its own a client may come back for the rest.
        if client.isAnonymous { perform(machine.clientGone(client)) }
    }

    private mutating func sleep() {
        guard mailbox.fallAsleep(stopSeen: stop) else { return }
        let timeout = outbox.isEmpty ? -1 : SocketLoop.retryMilliseconds
        let result = zmq_poll(&pollItems, Int32(pollItems.count), timeout)
        if result < 0, zmq_errno() != EINTR {
            log(.error, "zmq_poll: \(ZMQSocket.reason())")
            mailbox.requestStop(.now)
        }
        mailbox.wakeUp(wasWoken: pollItems.last.map { $0.revents != 0 } ?? false)
    }

    private func merged() -> ServerCounters {
        var all = machine.counters
        all.sent = counters.sent
        all.unreachableReplies = counters.unreachableReplies
        all.overflowedReplies = counters.overflowedReplies
        all.lentBytes = loans.bytes
        all.waitingBytes = outbox.bytes
        return all
    }

    private func publishCounters() { mailbox.publish(merged()) }
}
