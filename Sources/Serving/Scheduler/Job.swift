package import IPC

/// One admitted request on its way through the compute threads.
package final class Job: @unchecked Sendable {
    // Invariant: the `var`s are touched only while the scheduler's lock is held.

    package enum Phase {
        /// Nobody has looked at it yet, or its gate is closed.
        case queued
        /// A thread is checking parameters and making the plan.
        case planning
        /// Items of `stage` from `next` on are free to take; `outstanding` are being run.
        case running(plan: WorkPlan, stage: Int, next: Int, outstanding: Int)
        /// The last step is running, or the reply is on its way.
        case finished
    }

    /// Whether a queued job may be planned.
    package enum Gate: Sendable {
        case open
        /// Not yet; asked again after `Scheduler.gatesChanged()`.
        case closed
        /// Never: this is the answer.
        case refused(WireFault)
    }

    /// How long a request waited and how long it was worked on, in nanoseconds.
    package struct Timing: Sendable {
        package let queued: UInt64
        package let computed: UInt64
    }

    /// The client and its name for the request.
    package struct Origin: Hashable, Sendable {
        let client: ClientAddress
        let id: String

        package init(client: ClientAddress, id: String) {
            self.client = client
            self.id = id
        }
    }

    package typealias Completion = @Sendable (Result<Outcome, WireFault>, Timing) -> Void

    /// Who asked, and under which id; `nil` for jobs that nobody can cancel.
    package let origin: Origin?
    package let priority: Int
    /// When the request came, in monotonic nanoseconds.
    package let arrival: UInt64
    /// When an answer is no longer wanted, in monotonic nanoseconds.
    package let deadline: UInt64?
    /// Whether it is let in when the limits are reached (the canary).
    package let isExemptFromLimits: Bool
    /// Called while the scheduler's lock is held: must not block or call the scheduler.
    package let gate: @Sendable () -> Gate
    /// Parses parameters and inputs; runs on a compute thread.
    package let plan: @Sendable () throws(WireFault) -> WorkPlan
    /// Called exactly once, on a compute thread or on the thread that expires deadlines.
    package let completion: Completion

    /// What the limits count for it.
    package var expense: Expense
    package var phase = Phase.queued
    package var started: UInt64?
    /// Since when items for a tower wait for others, and how often other jobs were let pass.
    var readySince: UInt64?
    var timesPassed = 0
    /// Set when the rest of the job is not worth doing; the reply then carries this fault.
    package var fault: WireFault?
    package var sequence: UInt64 = 0

    package init(
        origin: Origin? = nil, priority: Int, arrival: UInt64, deadline: UInt64?, expense: Expense,
        isExemptFromLimits: Bool = false, gate: @escaping @Sendable () -> Gate = { .open },
        plan: @escaping @Sendable () throws(WireFault) -> WorkPlan,
        completion: @escaping Completion
    ) {
        self.origin = origin
        self.priority = priority
        self.arrival = arrival
        self.deadline = deadline
        self.expense = expense
        self.isExemptFromLimits = isExemptFromLimits
        self.gate = gate
        self.plan = plan
        self.completion = completion
    }
}
