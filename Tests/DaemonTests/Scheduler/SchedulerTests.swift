import Daemon
import Glibc
import IPC
import JSON
import Serving
import Synchronization
import System
import Testing

/// Collects completions, and waits for them.
private final class Journal: Sendable {
    private let entries = Monitor<[(name: String, result: Result<Outcome, WireFault>)]>([])

    func completion(_ name: String) -> Job.Completion {
        { result, _ in self.entries.update { $0.append((name, result)) } }
    }

    func wait(for count: Int) -> [String] {
        entries.wait { $0.count >= count ? $0.map(\.name) : nil }
    }

    var names: [String] { entries.read { $0.map(\.name) } }

    func code(_ name: String) -> ErrorCode? {
        entries.read { entries in
            guard case .failure(let fault)? = entries.first(where: { $0.name == name })?.result
            else { return nil }
            return fault.code
        }
    }
}

/// Holds compute threads until it is opened.
private final class Gate: Sendable {
    private let isOpen = Monitor(false)
    func open() { isOpen.update { $0 = true } }
    func pass() { isOpen.wait { $0 ? () : nil } }
}

private func job(
    _ name: String, _ journal: Journal, priority: Int = 0, deadline: UInt64? = nil, bytes: Int = 0,
    plan: @escaping @Sendable () throws(WireFault) -> WorkPlan = { () throws(WireFault) in
        WorkPlan { () throws(WireFault) in Outcome() }
    }
) -> Job {
    Job(
        priority: priority, arrival: monotonicNow(), deadline: deadline,
        expense: Expense(inputBytes: bytes), plan: plan,
        completion: journal.completion(name))
}

@Suite struct SchedulerTests {
    @Test(arguments: [1, 2, 7])
    func runsEveryItemOfEveryStageOnceAndInOrderOfStages(threads: Int) throws {
        let scheduler = Scheduler(threadCount: threads, limits: .init())
        let journal = Journal()
        let log = Mutex<[Int]>([])
        for index in 0..<20 {
            try scheduler.submit(
                job("\(index)", journal) { () throws(WireFault) in
                    let stages = [3, 0, 5].enumerated().map { stage, count in
                        WorkPlan.Stage(itemCount: count) { item, _ in
                            log.withLock { $0.append(index * 1000 + stage * 100 + item) }
                        }
                    }
                    return WorkPlan(stages: stages) { () throws(WireFault) in Outcome() }
                })
        }
        _ = journal.wait(for: 20)
        let all = log.withLock { $0 }
        #expect(all.count == 160)
        #expect(Set(all).count == 160)
        for index in 0..<20 {
            let mine = all.filter { $0 / 1000 == index }.map { $0 / 100 % 10 }
            #expect(mine == mine.sorted())
        }
        scheduler.stop()
        #expect(scheduler.statistics.completed == 20)
    }

    @Test func servesTheHighestPriorityFirstAndThenTheOldest() throws {
        let scheduler = Scheduler(threadCount: 1, limits: .init())
        let journal = Journal()
        let gate = Gate()
        let entered = Gate()
        try scheduler.submit(
            job("first", journal) { () throws(WireFault) in
                entered.open()
                gate.pass()
                return WorkPlan { () throws(WireFault) in Outcome() }
            })
        entered.pass()
        try scheduler.submit(job("low", journal, priority: -1))
        try scheduler.submit(job("a", journal))
        try scheduler.submit(job("b", journal))
        try scheduler.submit(job("high", journal, priority: 5))
        gate.open()
        #expect(journal.wait(for: 5) == ["first", "high", "a", "b", "low"])
        scheduler.stop()
    }

    @Test func refusesWhatIsOverTheLimitsWithARetryHint() throws {
        let scheduler = Scheduler(threadCount: 1, limits: .init(requests: 3, bytes: 100))
        let journal = Journal()
        let gate = Gate()
        try scheduler.submit(
            job("held", journal, bytes: 60) { () throws(WireFault) in
                gate.pass()
                return WorkPlan { () throws(WireFault) in Outcome() }
            })
        let heavy = #expect(throws: WireFault.self) {
            try scheduler.submit(job("heavy", journal, bytes: 41))
        }
        #expect(heavy?.code == .overloaded)
        #expect((heavy?.retryAfterMilliseconds ?? 0) > 0)
        try scheduler.submit(job("second", journal, bytes: 40))
        try scheduler.submit(job("third", journal))
        let full = #expect(throws: WireFault.self) { try scheduler.submit(job("x", journal)) }
        #expect(full?.code == .overloaded)
        gate.open()
        #expect(Set(journal.wait(for: 3)) == ["held", "second", "third"])
        scheduler.stop()
        #expect(scheduler.statistics.refused == 2)
        #expect(scheduler.statistics.expense == Expense())
    }

    @Test func whoeverHasAReplyMayAskAgainAtOnceAtTheLimit() throws {
        let scheduler = Scheduler(threadCount: 2, limits: .init(requests: 1, bytes: 100))
        let journal = Journal()
        for round in 1...500 {
            try scheduler.submit(job("\(round)", journal, bytes: 80))
            #expect(journal.wait(for: round).count == round)
        }
        scheduler.stop()
        #expect(scheduler.statistics.refused == 0)
        #expect(scheduler.statistics.expense == Expense())
    }

    @Test func answersAJobWhoseDeadlinePassesWhileItWaits() throws {
        let scheduler = Scheduler(threadCount: 1, limits: .init())
        let journal = Journal()
        let gate = Gate()
        try scheduler.submit(
            job("held", journal) { () throws(WireFault) in
                gate.pass()
                return WorkPlan { () throws(WireFault) in Outcome() }
            })
        let deadline = monotonicNow() + 1_000_000_000
        try scheduler.submit(job("late", journal, deadline: deadline))
        scheduler.expireDeadlines(now: deadline - 1)
        #expect(journal.names.isEmpty)
        scheduler.expireDeadlines(now: deadline)
        #expect(journal.names == ["late"])
        #expect(journal.code("late") == .deadlineExceeded)
        gate.open()
        #expect(journal.wait(for: 2) == ["late", "held"])
        scheduler.stop()
    }

    @Test func dropsWhatACancelledClientStillHadWaiting() throws {
        let scheduler = Scheduler(threadCount: 1, limits: .init())
        let journal = Journal()
        let gate = Gate()
        try scheduler.submit(
            job("held", journal) { () throws(WireFault) in
                gate.pass()
                return WorkPlan { () throws(WireFault) in Outcome() }
            })
        let origin = Job.Origin(client: ClientAddress(socket: 0, routingID: [1]), id: "7")
        try scheduler.submit(
            Job(
                origin: origin, priority: 0, arrival: monotonicNow(), deadline: nil,
                expense: Expense(),
                plan: { () throws(WireFault) in
                    WorkPlan { () throws(WireFault) in Outcome() }
                }, completion: journal.completion("gone")))
        scheduler.cancel(origin)
        #expect(journal.names == ["gone"])
        #expect(journal.code("gone") == .cancelled)
        gate.open()
        scheduler.stop()
        #expect(journal.names == ["gone", "held"])
    }

    @Test func stopsStartingItemsOnceTheDeadlineHasPassed() throws {
        let scheduler = Scheduler(threadCount: 1, limits: .init())
        let journal = Journal()
        let started = Mutex(0)
        let deadline = monotonicNow() + 1_000_000_000
        let expire: @Sendable () -> Void = { scheduler.expireDeadlines(now: deadline) }
        try scheduler.submit(
            job("long", journal, deadline: deadline) { () throws(WireFault) in
                let stage = WorkPlan.Stage(itemCount: 100) { item, _ in
                    started.withLock { $0 += 1 }
                    if item == 2 { expire() }
                }
                return WorkPlan(stages: [stage]) { () throws(WireFault) in Outcome() }
            })
        #expect(journal.wait(for: 1) == ["long"])
        #expect(journal.code("long") == .deadlineExceeded)
        #expect(started.withLock { $0 } == 3)
        scheduler.stop()
        #expect(journal.names == ["long"])
    }

    @Test(arguments: [true, false])
    func anEndThatComesWhileAJobIsPlannedIsNotLost(isCancelled: Bool) throws {
        let scheduler = Scheduler(threadCount: 1, limits: .init())
        let journal = Journal()
        let origin = Job.Origin(client: ClientAddress(socket: 0, routingID: [1]), id: "7")
        let deadline = monotonicNow() + 3_600_000_000_000
        let started = Mutex(0)
        try scheduler.submit(
            Job(
                origin: origin, priority: 0, arrival: monotonicNow(), deadline: deadline,
                expense: Expense(),
                plan: { () throws(WireFault) in
                    isCancelled
                        ? scheduler.cancel(origin) : scheduler.expireDeadlines(now: deadline)
                    let stage = WorkPlan.Stage(itemCount: 3) { _, _ in
                        started.withLock { $0 += 1 }
                    }
                    return WorkPlan(stages: [stage]) { () throws(WireFault) in Outcome() }
                }, completion: journal.completion("ended")))
        #expect(journal.wait(for: 1) == ["ended"])
        #expect(journal.code("ended") == (isCancelled ? .cancelled : .deadlineExceeded))
        #expect(started.withLock { $0 } == 0)
        scheduler.stop()
        #expect(scheduler.statistics.failed == 1)
    }

    @Test func aDeadlineThatPassesWhileTheReplyIsPutTogetherIsKept() throws {
        let scheduler = Scheduler(threadCount: 1, limits: .init())
        let journal = Journal()
        let deadline = monotonicNow() + 3_600_000_000_000
        try scheduler.submit(
            job("late", journal, deadline: deadline) { () throws(WireFault) in
                WorkPlan { () throws(WireFault) in
                    scheduler.expireDeadlines(now: deadline)
                    return Outcome()
                }
            })
        #expect(journal.wait(for: 1) == ["late"])
        #expect(journal.code("late") == .deadlineExceeded)
        scheduler.stop()
    }

    /// What large pieces of work take together, and the most that they ever took.
    private final class Load: Sendable {
        private let state = Mutex((now: 0, most: 0))

        var most: Int { state.withLock { $0.most } }

        func during(_ bytes: Int, _ body: () -> Void) {
            state.withLock { state in
                state.now += bytes
                state.most = max(state.most, state.now)
            }
            body()
            state.withLock { $0.now -= bytes }
        }
    }

    @Test func largePiecesStayWithinTheBudgetAndOneAloneMayBeLarger() throws {
        var limits = Scheduler.Limits()
        limits.workBytes = 1000
        let scheduler = Scheduler(threadCount: 4, limits: limits)
        let journal = Journal()
        let load = Load()
        let sizes = [400, 300, 500, 900, 2000, 200, 100, 700, 350, 350]
        for (index, size) in sizes.enumerated() {
            try scheduler.submit(
                job("\(index)", journal) { () throws(WireFault) in
                    let stage = WorkPlan.Stage(itemCount: 6, bytes: { _ in size }) { _, _ in
                        load.during(size) { usleep(500) }
                    }
                    return WorkPlan(stages: [stage]) { () throws(WireFault) in Outcome() }
                })
        }
        _ = journal.wait(for: sizes.count)
        #expect(load.most == 2000)
        #expect(scheduler.statistics.workBytes == 0)
        scheduler.stop()
        #expect(scheduler.statistics.completed == sizes.count)
    }

    @Test func aGroupIsAsLargeAsTheBudgetAllows() {
        let stage = WorkPlan.Stage(
            itemCount: 10, groupSize: 8, bytes: { $0 == 5 ? 2000 : 300 }, run: { _, _ in })
        func share(_ left: Range<Int>, _ threads: Int) -> [Int] {
            let share = stage.share(
                of: left, most: (left.count + threads - 1) / threads, budget: 1000)
            return [share.count, share.bytes]
        }
        #expect(share(0..<10, 1) == [3, 900])
        #expect(share(3..<10, 1) == [2, 600])
        #expect(share(5..<10, 1) == [1, 2000])
        #expect(share(6..<10, 4) == [1, 300])
        #expect(share(9..<10, 4) == [1, 300])
    }

    @Test func aLargePieceThatWaitsIsNotPassedByLaterOnes() throws {
        var limits = Scheduler.Limits()
        limits.workBytes = 1000
        let scheduler = Scheduler(threadCount: 2, limits: limits)
        let journal = Journal()
        let gate = Gate()
        let entered = Gate()
        func submit(_ name: String, _ size: Int, _ body: @escaping @Sendable () -> Void) throws {
            try scheduler.submit(
                job(name, journal) { () throws(WireFault) in
                    let stage = WorkPlan.Stage(itemCount: 1, bytes: { _ in size }) { _, _ in
                        body()
                    }
                    return WorkPlan(stages: [stage]) { () throws(WireFault) in Outcome() }
                })
        }
        try submit("first", 600) {
            entered.open()
            gate.pass()
        }
        entered.pass()
        try submit("waits", 600) {}
        try submit("later", 300) {}
        try submit("small", 10) {}
        // What is small passes, and what is large keeps its turn.
        #expect(journal.wait(for: 1) == ["small"])
        gate.open()
        let order = journal.wait(for: 4)
        #expect(Set(order) == ["small", "first", "waits", "later"])
        #expect(scheduler.statistics.workBytes == 0)
        scheduler.stop()
    }

    @Test func workForWhichThereIsNoMemoryFailsItsRequestAlone() throws {
        let scheduler = Scheduler(threadCount: 1, limits: .init())
        let journal = Journal()
        for (name, size) in [("huge", 1 << 56), ("fine", 1 << 20)] {
            try scheduler.submit(
                job(name, journal) { () throws(WireFault) in
                    let stage = WorkPlan.Stage(itemCount: 2, bytes: { _ in size }) { _, _ in }
                    return WorkPlan(stages: [stage]) { () throws(WireFault) in Outcome() }
                })
        }
        #expect(journal.wait(for: 2) == ["huge", "fine"])
        #expect(journal.code("huge") == .overloaded && journal.code("fine") == nil)
        #expect(scheduler.statistics.workBytes == 0)
        scheduler.stop()
    }

    @Test func pixelsAndRepliesAreCountedWithTheirNumbers() throws {
        var limits = Scheduler.Limits()
        limits.pixels = 100
        limits.replyBytes = 1000
        limits.requestPixels = 80
        limits.requestReplyBytes = 800
        let scheduler = Scheduler(threadCount: 1, limits: limits)
        let journal = Journal()
        let gate = Gate()
        let entered = Gate()
        func submit(
            _ name: String, _ expense: Expense, replyBytes: Int? = nil,
            _ body: @escaping @Sendable () -> Void = {}
        ) throws(WireFault) {
            try scheduler.submit(
                Job(
                    priority: 0, arrival: monotonicNow(), deadline: nil, expense: expense,
                    plan: { () throws(WireFault) in
                        body()
                        return WorkPlan(replyBytes: replyBytes) { () throws(WireFault) in Outcome()
                        }
                    }, completion: journal.completion(name)))
        }
        func fault(_ expense: Expense) -> WireFault? {
            #expect(throws: WireFault.self) { try submit("refused", expense) }
        }
        let wide = fault(Expense(pixels: 81))
        #expect(wide?.code == .tooLarge && wide?.message.contains("80") == true)
        #expect(wide?.message.contains("81") == true && wide?.field == "inputs")
        let long = fault(Expense(replyBytes: 801))
        #expect(long?.code == .tooLarge && long?.message.contains("801") == true)
        try submit("held", Expense(pixels: 60, replyBytes: 600)) {
            entered.open()
            gate.pass()
        }
        entered.pass()
        let pixels = fault(Expense(pixels: 41))
        #expect(pixels?.code == .overloaded && pixels?.retryAfterMilliseconds != nil)
        #expect(pixels?.message.contains("60") == true && pixels?.message.contains("100") == true)
        #expect(fault(Expense(replyBytes: 401))?.code == .overloaded)
        try submit("beside", Expense(pixels: 40, replyBytes: 400))
        // A plan knows better than the headers did.
        gate.open()
        _ = journal.wait(for: 2)
        try submit("excess", Expense(), replyBytes: 801)
        _ = journal.wait(for: 3)
        #expect(journal.code("excess") == .tooLarge)
        #expect(scheduler.statistics.expense == Expense())
        scheduler.stop()
    }

    @Test func aThreadThatHangsDoesNotHangTheStop() throws {
        let scheduler = Scheduler(threadCount: 2, limits: .init())
        let journal = Journal()
        let gate = Gate()
        let entered = Gate()
        try scheduler.submit(
            job("hung", journal) { () throws(WireFault) in
                let stage = WorkPlan.Stage(itemCount: 1) { _, _ in
                    entered.open()
                    gate.pass()
                }
                return WorkPlan(stages: [stage]) { () throws(WireFault) in Outcome() }
            })
        entered.pass()
        try scheduler.submit(job("other", journal))
        #expect(journal.wait(for: 1) == ["other"])
        #expect(!scheduler.stop(patience: 50_000_000))
        #expect(scheduler.isStalled(for: 50_000_000, now: monotonicNow()))
        gate.open()
        #expect(journal.wait(for: 2) == ["other", "hung"])
        #expect(scheduler.stop(patience: 60_000_000_000))
    }

    @Test func idleThreadsAreNotAtAStandstill() throws {
        let scheduler = Scheduler(threadCount: 2, limits: .init())
        #expect(!scheduler.isStalled(for: 1, now: monotonicNow() + 1_000_000_000))
        #expect(scheduler.stop(patience: 1_000_000_000))
    }

    @Test func aJobBehindAClosedGateKeepsItsPlaceAndIsPassed() throws {
        let scheduler = Scheduler(threadCount: 1, limits: .init())
        let journal = Journal()
        let state = Mutex<[String: Job.Gate]>(["first": .closed, "never": .closed])
        func gated(_ name: String) -> Job {
            Job(
                priority: 1, arrival: monotonicNow(), deadline: nil, expense: Expense(),
                gate: { state.withLock { $0[name] ?? .open } },
                plan: { () throws(WireFault) in
                    WorkPlan { () throws(WireFault) in Outcome() }
                }, completion: journal.completion(name))
        }
        try scheduler.submit(gated("first"))
        try scheduler.submit(gated("never"))
        try scheduler.submit(job("other", journal))
        #expect(journal.wait(for: 1) == ["other"])
        #expect(scheduler.statistics.waiting == 2)
        let hold = Gate()
        let entered = Gate()
        try scheduler.submit(
            job("held", journal) { () throws(WireFault) in
                entered.open()
                hold.pass()
                return WorkPlan { () throws(WireFault) in Outcome() }
            })
        entered.pass()
        try scheduler.submit(job("later", journal))
        state.withLock { $0["first"] = .open }
        scheduler.gatesChanged()
        hold.open()
        #expect(journal.wait(for: 4) == ["other", "held", "first", "later"])
        state.withLock { $0["never"] = .refused(WireFault(.shuttingDown, "no")) }
        scheduler.gatesChanged()
        #expect(journal.wait(for: 5).last == "never")
        #expect(journal.code("never") == .shuttingDown)
        scheduler.stop()
        #expect(scheduler.statistics.failed == 1)
    }

    @Test func finishesAdmittedJobsWhenItStopsAndRefusesNewOnes() throws {
        let scheduler = Scheduler(threadCount: 2, limits: .init())
        let journal = Journal()
        let gate = Gate()
        for index in 0..<10 {
            try scheduler.submit(
                job("\(index)", journal) { () throws(WireFault) in
                    gate.pass()
                    return WorkPlan { () throws(WireFault) in Outcome() }
                })
        }
        scheduler.beginDraining()
        let refusal = #expect(throws: WireFault.self) { try scheduler.submit(job("x", journal)) }
        #expect(refusal?.code == .shuttingDown)
        gate.open()
        scheduler.stop()
        #expect(journal.names.count == 10)
    }

    @Test func aFailingPlanOrFinishFailsThatJobAlone() throws {
        let scheduler = Scheduler(threadCount: 2, limits: .init())
        let journal = Journal()
        let fault = WireFault(.badRequest, "no")
        try scheduler.submit(job("plan", journal) { () throws(WireFault) in throw fault })
        try scheduler.submit(
            job("finish", journal) { () throws(WireFault) in
                WorkPlan { () throws(WireFault) in throw fault }
            })
        try scheduler.submit(job("fine", journal))
        _ = journal.wait(for: 3)
        #expect(journal.code("plan") == .badRequest)
        #expect(journal.code("finish") == .badRequest)
        #expect(journal.code("fine") == nil)
        scheduler.stop()
        #expect(scheduler.statistics.failed == 2)
    }
}
