import CZeroMQ
import Glibc
import Synchronization
import System

/// What other threads have for the socket thread, and how they wake it.
final class Mailbox: Sendable {
    enum StopMode { case drain, now }

    struct Contents {
        var replies: [(reply: EncodedReply, client: ClientAddress)] = []
        var comparisons: [(comparison: ServerStateMachine.Comparison, isSame: Bool)] = []
        var stop: StopMode?
    }

    private struct State {
        var contents = Contents()
        var isAsleep = false
        var isClosed = false
        var counters = ServerCounters()
    }

    private let state = Mutex(State())
    /// Readable while there may be mail for a sleeping socket thread.
    let descriptor: Int32

    init() throws(TransportError) {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC))
        guard descriptor >= 0 else {
            throw .system(call: "eventfd", reason: systemReason(errno))
        }
    }

    deinit {
        Glibc.close(descriptor)
    }

    /// Leaves a reply; dropped once the socket thread has ended.
    func post(_ reply: EncodedReply, to client: ClientAddress) {
        leave { contents in contents.replies.append((reply, client)) }
    }

    /// Leaves the answer to a comparison.
    func post(_ comparison: ServerStateMachine.Comparison, isSame: Bool) {
        leave { contents in contents.comparisons.append((comparison, isSame)) }
    }

    /// Asks the socket thread to stop; a later `.now` overrides `.drain`, never the reverse.
    func requestStop(_ mode: StopMode) {
        leave { contents in
            if contents.stop != .now { contents.stop = mode }
        }
    }

    private func leave(_ change: (inout Contents) -> Void) {
        let mustWake = state.withLock { state in
            if state.isClosed { return false }
            change(&state.contents)
            defer { state.isAsleep = false }
            return state.isAsleep
        }
        // A thread that is awake looks here before it sleeps: most replies need no system call.
        if mustWake { eventfd_write(descriptor, 1) }
    }

    /// Takes everything that was left; the request to stop stays.
    func take() -> Contents {
        state.withLock { state in
            defer {
                state.contents.replies = []
                state.contents.comparisons = []
            }
            return state.contents
        }
    }

    /// Called before the socket thread sleeps; `false` when there is mail, so that it must not.
    func fallAsleep(stopSeen: StopMode?) -> Bool {
        state.withLock { state in
            guard state.contents.replies.isEmpty, state.contents.comparisons.isEmpty,
                state.contents.stop == stopSeen
            else { return false }
            state.isAsleep = true
            return true
        }
    }

    /// Called after the socket thread slept; `wasWoken` when the descriptor was readable.
    func wakeUp(wasWoken: Bool) {
        state.withLock { $0.isAsleep = false }
        // A wake-up that comes between the poll and here is found, and cleared, by the next poll.
        guard wasWoken else { return }
        var count: eventfd_t = 0
        eventfd_read(descriptor, &count)
    }

    /// Lets go of everything; later mail is dropped.
    func close(counters: ServerCounters) {
        state.withLock { state in
            state.isClosed = true
            state.contents = Contents()
            state.counters = counters
        }
    }

    var counters: ServerCounters {
        state.withLock { $0.counters }
    }

    func publish(_ counters: ServerCounters) {
        state.withLock { $0.counters = counters }
    }
}
