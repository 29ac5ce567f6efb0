import Encoders
package import IPC
import System

/// Admits requests, spreads their items over the compute threads, and completes each exactly once.
///
/// The most urgent job (highest priority, then oldest) is served first; when its items are all
/// taken, idle threads go on to the next job. A job whose gate is closed keeps its place in the queue,
/// and others pass it.
package final class Scheduler: Sendable {
    package struct Statistics: Sendable {
        package var waiting = 0
        package var running = 0
        /// What the unanswered requests take together.
        package var expense = Expense()
        /// What large pieces of work take at this moment.
        package var workBytes = 0
        package var completed = 0
        package var failed = 0
        package var refused = 0
        /// Groups that towers ran, their items, and the groups that had items of several requests.
        package var groups = 0
        package var groupItems = 0
        package var sharedGroups = 0
    }

    struct State {
        /// Unfinished jobs, most urgent first.
        var jobs: [Job] = []
        /// Of those, the ones whose reply was not given yet, and what they take: what the
        /// limits count, so that whoever has a reply can ask again at once.
        var unanswered = 0
        var expense = Expense()
        /// What the large pieces of work that threads are at take together.
        var workBytes = 0
        var sequence: UInt64 = 0
        var isStopping = false
        var completed = 0
        var failed = 0
        var refused = 0
        /// Groups that towers ran, their items, and the groups that had items of several requests.
        var groups = 0
        var groupItems = 0
        var sharedGroups = 0
        /// A running mean of the time that one job keeps the threads busy, in nanoseconds.
        var meanDuration = 50e6
        /// When a thread last began or finished something, in monotonic nanoseconds.
        var lastProgress = monotonicNow()
        /// Threads that work on something at this moment, and threads that have not ended.
        var busyThreads = 0
        var livingThreads = 0

        /// How long every thread that works has been at the same piece of work; `nil` when none works.
        func standstill(now: UInt64) -> UInt64? {
            busyThreads == 0 ? nil : now - min(lastProgress, now)
        }
    }

    package let threadCount: Int
    package let limits: Limits
    private let state = Monitor(State())
    private let threads: [SystemThread]

    /// Starts `threadCount` compute threads, and as many helpers, less one, that work inside the items
    /// of busy threads while others have nothing to do.
    ///
    /// - Parameter activationBudget: bytes that all threads' kept activations may take together.
    package init(threadCount: Int, limits: Limits, activationBudget: Int = 1 << 30) {
        self.threadCount = threadCount
        self.limits = limits
        let state = self.state
        state.update { $0.livingThreads = threadCount }
        let team = ComputeTeam(places: threadCount)
        threads = (0..<threadCount).map { index in
            SystemThread(name: "compute-\(index)") {
                Scheduler.work(
                    state, limits,
                    worker: Worker(
                        index: index, team: team,
                        activationBudget: activationBudget / max(threadCount, 1)))
            }
        }
    }

    /// Queues a job, or says why it cannot be.
    ///
    /// - Throws: `too_large` for a request that no request may be, `overloaded` with a retry hint when a
    ///   limit is reached, `shutting_down` after `stop()`. The job's completion is then never called.
    package func submit(_ job: Job) throws(WireFault) {
        if let excess = limits.excess(job.expense) {
            state.update { $0.refused += 1 }
            throw excess
        }
        let limits = self.limits
        let threadCount = self.threadCount
        let refusal: WireFault? = state.update { state in
            if state.isStopping {
                return WireFault(.shuttingDown, "the daemon is shutting down")
            }
            if !job.isExemptFromLimits,
                let obstacle = limits.obstacle(
                    job.expense, unanswered: state.unanswered, state.expense)
            {
                state.refused += 1
                let wait = state.meanDuration * Double(state.unanswered) / Double(threadCount)
                return WireFault(
                    .overloaded, obstacle,
                    retryAfterMilliseconds: min(max(Int(wait / 1e6), 10), 60_000))
            }
            state.sequence += 1
            job.sequence = state.sequence
            state.unanswered += 1
            state.expense += job.expense
            let position =
                state.jobs.firstIndex { $0.priority < job.priority } ?? state.jobs.endIndex
            state.jobs.insert(job, at: position)
            return nil
        }
        if let refusal { throw refusal }
    }

    /// Answers jobs whose deadline has passed while they waited for a thread.
    package func expireDeadlines(now: UInt64) {
        end(with: Scheduler.deadlineFault) { job in job.deadline.map { now >= $0 } ?? false }
    }

    /// Ends a job that nobody waits for any more; its completion gets `cancelled`.
    package func cancel(_ origin: Job.Origin) {
        end(with: WireFault(.cancelled, "the client went away")) { $0.origin == origin }
    }

    /// Ends the jobs that `isMeant` chooses: at once when no thread works on them, else as soon as
    /// the plan, the items or the last step in flight are done; nothing further is started.
    private func end(with fault: WireFault, _ isMeant: (Job) -> Bool) {
        let ended: [Job] = state.update { state in
            var ended: [Job] = []
            for job in state.jobs where isMeant(job) {
                switch job.phase {
                case .queued:
                    job.phase = .finished
                    ended.append(job)
                case .running(let plan, let stage, _, let outstanding):
                    job.fault = fault
                    if outstanding == 0 {
                        job.phase = .finished
                        ended.append(job)
                    } else {
                        job.phase = .running(
                            plan: plan, stage: stage, next: plan.stages[stage].itemCount,
                            outstanding: outstanding)
                    }
                // The thread that moves the job on looks for the fault before it does.
                case .planning: job.fault = job.fault ?? fault
                case .finished: break
                }
            }
            return ended
        }
        for job in ended { Scheduler.complete(job, .failure(fault), state) }
    }

    /// Asks the gates of waiting jobs again.
    package func gatesChanged() { state.update { _ in } }

    /// Refuses new jobs; those admitted are finished.
    package func beginDraining() {
        state.update { $0.isStopping = true }
    }

    /// Finishes every admitted job and ends the threads. To be called at most once, and only when no
    /// gate stays closed.
    ///
    /// - Parameter patience: gives up when the threads that work have been at the same piece of work for
    ///   so many nanoseconds.
    /// - Returns: whether all threads have ended; those that have not must not be waited for.
    @discardableResult
    package func stop(patience: UInt64 = .max) -> Bool {
        beginDraining()
        while true {
            let hasEnded = state.wait(until: monotonicNow() + 20_000_000) {
                $0.livingThreads == 0 ? true : nil
            }
            if hasEnded == true { break }
            if isStalled(for: patience, now: monotonicNow()) { return false }
        }
        for thread in threads { thread.join() }
        return true
    }

    /// Whether no thread has begun or finished anything for so many nanoseconds, although some work.
    package func isStalled(for patience: UInt64, now: UInt64) -> Bool {
        state.read { state in (state.standstill(now: now) ?? 0) >= patience }
    }

    package var statistics: Statistics {
        state.read { state in
            var statistics = Statistics(
                expense: state.expense, workBytes: state.workBytes, completed: state.completed,
                failed: state.failed,
                refused: state.refused, groups: state.groups, groupItems: state.groupItems,
                sharedGroups: state.sharedGroups)
            for job in state.jobs {
                if case .queued = job.phase {
                    statistics.waiting += 1
                } else {
                    statistics.running += 1
                }
            }
            return statistics
        }
    }

    static let deadlineFault = WireFault(
        .deadlineExceeded, "the deadline passed before the work was done",
        field: "deadline_ms")

    // MARK: Compute threads

    /// Runs one piece of a stage, or pieces of several jobs that share a tower.
    private static func run(_ pieces: [Piece], _ worker: Worker) {
        let first = pieces[0]
        switch first.stage.content {
        case .items(_, _, let run): run(first.items, worker)
        case .towers:
            let parts = pieces.compactMap { piece in
                piece.stage.tower(of: piece.items.lowerBound)?.part(piece.items)
            }
            parts[0].work.run(parts, worker)
        }
    }

    private static func work(_ state: Monitor<State>, _ limits: Limits, worker: Worker) {
        var isBusy = false
        while true {
            var later: UInt64?
            func next(_ state: inout State) -> Task? {
                let now = monotonicNow()
                if isBusy {
                    isBusy = false
                    state.busyThreads -= 1
                    state.lastProgress = now
                }
                switch nextTask(&state, limits, threads: worker.team.places, now: now) {
                case .nothing:
                    later = nil
                    return nil
                case .later(let time):
                    later = time
                    return nil
                case .task(let task):
                    isBusy = true
                    state.busyThreads += 1
                    state.lastProgress = now
                    return task
                }
            }
            // A group that waits for others has a time at which it does so no longer.
            var found = state.wait { state -> Task?? in
                let task = next(&state)
                return task == nil && later == nil ? nil : .some(task)
            }
            while found == nil {
                found = state.wait(until: later ?? monotonicNow() + 1_000_000_000) { next(&$0) }
            }
            guard let task = found else { continue }
            switch task {
            case .stop:
                state.update { state in
                    state.busyThreads -= 1
                    state.livingThreads -= 1
                }
                return
            case .end(let job, let fault):
                complete(job, .failure(fault), state)
            case .plan(let job):
                do throws(WireFault) {
                    let plan = try job.plan()
                    try admit(plan, of: job, limits, state)
                    advance(job, plan, to: 0, limits, state)
                } catch {
                    complete(job, .failure(error), state)
                }
            case .pieces(let pieces, let room):
                guard pieces.allSatisfy({ $0.bytes == 0 }) || MemoryRoom.has(room) else {
                    for piece in pieces { finish(piece, with: .noMemory(room), limits, state) }
                    continue
                }
                worker.whileSeated { run(pieces, worker) }
                for piece in pieces { finish(piece, limits, state) }
            }
        }
    }

    /// Counts what a plan found the reply to take, instead of what the headers told.
    ///
    /// - Throws: as `submit`.
    private static func admit(
        _ plan: WorkPlan, of job: Job, _ limits: Limits, _ state: Monitor<State>
    ) throws(WireFault) {
        guard let bytes = plan.replyBytes, bytes > job.expense.replyBytes else { return }
        var expense = job.expense
        expense.replyBytes = bytes
        let fault: WireFault? = state.update { state in
            if let excess = limits.excess(expense) { return excess }
            state.expense -= job.expense
            // Requests beside this one: it has been counted among the unanswered.
            if !job.isExemptFromLimits,
                let obstacle = limits.obstacle(
                    expense, unanswered: state.unanswered - 1, state.expense)
            {
                state.expense += job.expense
                return WireFault(.overloaded, obstacle, retryAfterMilliseconds: 100)
            }
            job.expense = expense
            state.expense += expense
            return nil
        }
        if let fault { throw fault }
    }

    /// Moves a job to the first non-empty stage from `stage` on, or finishes it. Only the thread that
    /// put the job into the phase `planning` calls this.
    private static func advance(
        _ job: Job, _ plan: WorkPlan, to stage: Int, _ limits: Limits, _ state: Monitor<State>
    ) {
        var stage = stage
        while stage < plan.stages.count, plan.stages[stage].itemCount == 0 { stage += 1 }
        let next = stage
        let fault: WireFault? = state.update { _ in
            if let fault = reasonToEnd(job) { return fault }
            if next < plan.stages.count {
                job.phase = .running(plan: plan, stage: next, next: 0, outstanding: 0)
            }
            return nil
        }
        if let fault { return complete(job, .failure(fault), state) }
        if next < plan.stages.count { return }
        do throws(WireFault) {
            switch plan.end {
            case .more(let next):
                let plan = try next()
                try admit(plan, of: job, limits, state)
                advance(job, plan, to: 0, limits, state)
            case .reply(let finish):
                // The outputs, and what they are put together from.
                let bytes = plan.isReplyThere ? 0 : 2 * job.expense.replyBytes
                guard MemoryRoom.has(bytes) else { throw WireFault.noMemory(bytes) }
                let outcome = try finish()
                let fault = state.read { _ in reasonToEnd(job) }
                complete(job, fault.map { .failure($0) } ?? .success(outcome), state)
            }
        } catch {
            complete(job, .failure(error), state)
        }
    }

    /// Why nobody wants the rest of a job; to be asked while the lock is held.
    private static func reasonToEnd(_ job: Job) -> WireFault? {
        if let deadline = job.deadline, job.fault == nil, monotonicNow() >= deadline {
            job.fault = deadlineFault
        }
        return job.fault
    }

    /// - Parameter fault: why the piece, and the rest of its job, are not done.
    private static func finish(
        _ piece: Piece, with fault: WireFault? = nil, _ limits: Limits, _ state: Monitor<State>
    ) {
        let job = piece.job
        enum Next {
            case wait
            case stage(WorkPlan, Int)
            case fail(WireFault)
        }
        let next: Next = state.update { state in
            state.workBytes -= piece.bytes
            if let fault { job.fault = job.fault ?? fault }
            guard case .running(let plan, let stage, var next, var outstanding) = job.phase else {
                return .wait
            }
            outstanding -= piece.items.count
            if reasonToEnd(job) != nil { next = plan.stages[stage].itemCount }
            job.phase = .running(plan: plan, stage: stage, next: next, outstanding: outstanding)
            guard outstanding == 0, next == plan.stages[stage].itemCount else { return .wait }
            // Nobody else can take from this job now: this thread alone moves it on.
            job.phase = .planning
            return job.fault.map { .fail($0) } ?? .stage(plan, stage + 1)
        }
        switch next {
        case .wait: break
        case .stage(let plan, let stage): advance(job, plan, to: stage, limits, state)
        case .fail(let fault): complete(job, .failure(fault), state)
        }
    }

    /// Answers a job, then forgets it, so that a draining daemon never ends before its replies.
    private static func complete(
        _ job: Job, _ result: Result<Outcome, WireFault>, _ state: Monitor<State>
    ) {
        let now = monotonicNow()
        let started = job.started ?? now
        state.update { state in
            state.unanswered -= 1
            state.expense -= job.expense
        }
        job.completion(
            result,
            Job.Timing(queued: started &- min(started, job.arrival), computed: now - started))
        state.update { state in
            job.phase = .finished
            state.jobs.removeAll { $0 === job }
            switch result {
            case .success: state.completed += 1
            case .failure: state.failed += 1
            }
            state.meanDuration += 0.1 * (Double(now - started) - state.meanDuration)
        }
    }
}

extension WireFault {
    /// The system gives no memory.
    static func noMemory(_ bytes: Int) -> WireFault {
        WireFault(
            .overloaded,
            "the system has no \(bytes) bytes of memory for this; what is under way may give some "
                + "back", retryAfterMilliseconds: 1000)
    }
}
