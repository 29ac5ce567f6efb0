import IPC

extension Scheduler {
    /// Items of one stage of one job that a thread takes.
    struct Piece {
        let job: Job
        let stage: WorkPlan.Stage
        let items: Range<Int>
        /// What is counted for them.
        var bytes = 0
    }

    enum Task {
        case plan(Job)
        /// One piece, or several jobs' pieces that go through a tower together.
        ///
        /// - Parameter room: what all large pieces under way take, with these.
        case pieces([Piece], room: Int)
        case end(Job, WireFault)
        case stop
    }

    enum Choice {
        case task(Task)
        /// There is a group that waits for others until then.
        case later(UInt64)
        case nothing
    }

    /// Jobs whose next items go through one tower, most urgent first.
    private struct Group {
        let tower: WorkPlan.Stage.TowerItems
        var jobs: [Job]
        /// Items that are free, up to the ends of the jobs' stages.
        var free: Int

        var isFull: Bool { free >= tower.work.groupSize }
    }

    /// Takes the most urgent piece of work.
    ///
    /// A group that is not full yet lets jobs of the same priority plan and prepare their items first, so
    /// that they can join it: a bounded number of times.
    static func nextTask(
        _ state: inout State, _ limits: Limits, threads: Int, now: UInt64
    ) -> Choice {
        // Once a large piece has to wait for others, later large ones do: it would never have its turn.
        var hasRoom = true
        var passed: Set<GroupKey> = []
        var wake: UInt64?
        while true {
            var group: Group?
            for job in state.jobs {
                switch job.phase {
                case .queued:
                    if let deadline = job.deadline, now >= deadline {
                        job.phase = .finished
                        return .task(.end(job, deadlineFault))
                    }
                    switch job.gate() {
                    case .open: break
                    case .closed: continue
                    case .refused(let fault):
                        job.phase = .finished
                        return .task(.end(job, fault))
                    }
                    guard mayPass(group, job) else { continue }
                    job.phase = .planning
                    job.started = now
                    return .task(.plan(job))
                case .running(let plan, let stage, let next, _):
                    let own = plan.stages[stage]
                    guard next < own.itemCount else { continue }
                    if let tower = own.tower(of: next) {
                        guard !passed.contains(tower.work.key) else { continue }
                        if group == nil {
                            group = Group(tower: tower, jobs: [job], free: own.itemCount - next)
                            job.readySince = job.readySince ?? now
                        } else if group?.tower.work.key == tower.work.key {
                            group?.jobs.append(job)
                            group?.free += own.itemCount - next
                        }
                        continue
                    }
                    let share = own.share(
                        of: next..<own.itemCount, most: part(own.itemCount - next, of: threads),
                        budget: limits.workBytes)
                    let isLarge = limits.isLarge(share.bytes, threads: threads)
                    if isLarge {
                        hasRoom = hasRoom && state.hasRoom(share.bytes, limits)
                        guard hasRoom, group == nil else { continue }
                    }
                    guard mayPass(group, job) else { continue }
                    var piece = Piece(job: job, stage: own, items: next..<next + share.count)
                    if isLarge { piece.bytes = share.bytes }
                    return .task(state.take([piece]))
                case .planning, .finished:
                    continue
                }
            }
            guard let group else { break }
            if !group.isFull, limits.batchWait > 0, let since = group.jobs[0].readySince,
                now < since + limits.batchWait
            {
                wake = min(wake ?? .max, since + limits.batchWait)
            } else if let pieces = pieces(of: group, state, limits, threads, &hasRoom) {
                state.groups += 1
                state.groupItems += pieces.reduce(0) { $0 + $1.items.count }
                if pieces.count > 1 { state.sharedGroups += 1 }
                return .task(state.take(pieces))
            }
            passed.insert(group.tower.work.key)
        }
        if state.isStopping, state.jobs.isEmpty { return .task(.stop) }
        return wake.map { .later($0) } ?? .nothing
    }

    /// Steps that an item takes at most before it is ready for its tower: to be planned, to have something
    /// looked up or combined, and to be prepared.
    private static let stepsToJoin = 4

    /// Whether a job may prepare something while a group that is more urgent waits for it.
    private static func mayPass(_ group: Group?, _ job: Job) -> Bool {
        guard let group else { return true }
        let first = group.jobs[0]
        guard !group.isFull, job.priority == first.priority,
            first.timesPassed < stepsToJoin * group.tower.work.groupSize
        else { return false }
        first.timesPassed += 1
        return true
    }

    /// What a thread takes so that all have something to do.
    private static func part(_ count: Int, of threads: Int) -> Int {
        (count + threads - 1) / max(threads, 1)
    }

    /// The pieces of a group; `nil` when there is no room for them now.
    private static func pieces(
        of group: Group, _ state: State, _ limits: Limits, _ threads: Int, _ hasRoom: inout Bool
    ) -> [Piece]? {
        // A lone job leaves something for every thread. With several, threads that are busy come for
        // what others send meanwhile.
        let takers = group.jobs.count == 1 ? threads : max(threads - state.busyThreads, 1)
        var most = min(part(group.free, of: takers), group.tower.work.groupSize)
        var pieces: [Piece] = []
        var bytes = 0
        for job in group.jobs where most > 0 {
            guard case .running(let plan, let stage, let next, _) = job.phase else { continue }
            let own = plan.stages[stage]
            let share = own.share(
                of: next..<own.itemCount, most: most, budget: limits.workBytes - bytes,
                needsOne: pieces.isEmpty)
            guard share.count > 0 else { break }
            pieces.append(
                Piece(
                    job: job, stage: own, items: next..<next + share.count, bytes: share.bytes))
            bytes += share.bytes
            most -= share.count
        }
        if limits.isLarge(bytes, threads: threads) {
            hasRoom = hasRoom && state.hasRoom(bytes, limits)
            return hasRoom ? pieces : nil
        }
        for index in pieces.indices { pieces[index].bytes = 0 }
        return pieces
    }
}

extension Scheduler.State {
    func hasRoom(_ bytes: Int, _ limits: Scheduler.Limits) -> Bool {
        workBytes == 0 || workBytes + bytes <= limits.workBytes
    }

    /// Notes that a thread has pieces.
    mutating func take(_ pieces: [Scheduler.Piece]) -> Scheduler.Task {
        for piece in pieces {
            guard case .running(let plan, let stage, _, let outstanding) = piece.job.phase else {
                continue
            }
            workBytes += piece.bytes
            // What is left of a job that has begun, as when threads share a full group, waits for nobody.
            let isLeft = piece.items.upperBound < plan.stages[stage].itemCount
            piece.job.readySince = isLeft ? 0 : nil
            piece.job.timesPassed = 0
            piece.job.phase = .running(
                plan: plan, stage: stage, next: piece.items.upperBound,
                outstanding: outstanding + piece.items.count)
        }
        return .pieces(pieces, room: workBytes)
    }
}

extension Scheduler.Limits {
    /// What is small is not counted: all of it together is a sixteenth of the budget.
    func isLarge(_ bytes: Int, threads: Int) -> Bool {
        bytes > workBytes / 16 / max(threads, 1)
    }
}
