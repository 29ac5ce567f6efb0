import Daemon
import Encoders
import Glibc
import IPC
import JSON
import Serving
import Synchronization
import System
import Testing

/// What stands for a tower in a key.
private final class Tower: Sendable {}

/// Which items went through a tower together, as "job item".
private final class Groups: Sendable {
    private let groups = Mutex<[[String]]>([])
    var all: [[String]] { groups.withLock { $0 } }

    /// How many there are now.
    func note(_ group: [String]) -> Int {
        groups.withLock { groups in
            groups.append(group)
            return groups.count
        }
    }
}

@Suite final class GroupTests: Sendable {
    private let tower = Tower()
    private let groups = Groups()
    private let planned = Mutex(0)
    private let plannedBeforeFirst = Mutex(0)
    private let ends = Monitor<[String: Result<Outcome, WireFault>]>([:])

    /// A job whose items are prepared one by one and then go through a tower; an item that is "bad" makes
    /// the tower refuse every group that it is in.
    private func job(
        _ name: String, items: Int = 1, size: Int = 8, kind: GroupKey.Kind = .images,
        priority: Int = 0, bad: Int? = nil, results: Slots<Result<String, EncoderError>>? = nil
    ) -> Job {
        let (groups, ends, tower) = (groups, ends, tower)
        return Job(
            priority: priority, arrival: monotonicNow(), deadline: nil, expense: Expense(),
            plan: { [self] () throws(WireFault) in
                planned.withLock { $0 += 1 }
                let work = TowerWork<String, String>(
                    key: GroupKey(tower, kind), groupSize: size,
                    take: { item in item == bad ? "bad" : "\(name) \(item)" },
                    give: { item, result in results?[item] = result },
                    compute: { [self] inputs, _ throws(EncoderError) in
                        if groups.note(inputs) == 1 {
                            plannedBeforeFirst.withLock { $0 = planned.withLock { $0 } }
                        }
                        if inputs.contains("bad") {
                            throw .image(expected: "a good one", actual: "a bad one")
                        }
                        return inputs.map { .success($0) }
                    })
                let preparation = WorkPlan.Stage(itemCount: items) { _, _ in }
                return WorkPlan(stages: [preparation, WorkPlan.Stage([(work, 0..<items)])]) {
                    () throws(WireFault) in Outcome()
                }
            }, completion: { result, _ in ends.update { $0[name] = result } })
    }

    /// Submits jobs while the only thread is held, and waits for all.
    private func run(_ jobs: [Job], _ limits: Scheduler.Limits = .init()) throws -> [[String]] {
        let scheduler = Scheduler(threadCount: 1, limits: limits)
        let isOpen = Monitor(false)
        let isHeld = Monitor(false)
        let ends = self.ends
        try scheduler.submit(
            Job(
                priority: 100, arrival: monotonicNow(), deadline: nil, expense: Expense(),
                plan: { () throws(WireFault) in
                    isHeld.update { $0 = true }
                    isOpen.wait { $0 ? () : nil }
                    return WorkPlan { () throws(WireFault) in Outcome() }
                }, completion: { _, _ in }))
        isHeld.wait { $0 ? () : nil }
        for job in jobs { try scheduler.submit(job) }
        isOpen.update { $0 = true }
        ends.wait { $0.count == jobs.count ? () : nil }
        scheduler.stop()
        return groups.all
    }

    @Test func itemsOfSeveralRequestsShareAGroup() throws {
        let all = try run((0..<8).map { job("\($0)") })
        #expect(all == [(0..<8).map { "\($0) 0" }])
    }

    @Test func aGroupTakesTheOldestFirstAndLeavesWhatDoesNotFit() throws {
        let all = try run([job("a", items: 3), job("b", items: 3), job("c", items: 3)])
        #expect(all.map(\.count) == [8, 1])
        #expect(all[0] == ["a 0", "a 1", "a 2", "b 0", "b 1", "b 2", "c 0", "c 1"])
    }

    @Test func towersAndKindsOfWorkDoNotMix() throws {
        let all = try run([
            job("a"), job("b", kind: .texts), job("c"),
            job("d", kind: .rows(recipe: "sd1", encoder: 0, state: 1)),
            job("e", kind: .rows(recipe: "sd1", encoder: 0, state: 2)), job("f", kind: .texts),
        ])
        #expect(
            Set(all.map { Set($0) }) == [["a 0", "c 0"], ["b 0", "f 0"], ["d 0"], ["e 0"]])
    }

    @Test func whatIsMoreUrgentDoesNotWaitForOthersToJoin() throws {
        let all = try run([job("low", priority: -1), job("a"), job("high", priority: 1), job("b")])
        #expect(all == [["high 0"], ["a 0", "b 0"], ["low 0"]])
    }

    @Test func aGroupIsPassedABoundedNumberOfTimes() throws {
        let all = try run((0..<60).map { job("\($0)", kind: $0 == 0 ? .images : .texts) })
        #expect(all.first == ["0 0"])
        // Each of the others takes two steps, and there are places for eight items.
        #expect((2...40).contains(plannedBeforeFirst.withLock { $0 }))
    }

    @Test func oneRequestsBadItemFailsNoOther() throws {
        let results = (0..<3).map { _ in Slots<Result<String, EncoderError>>(count: 2) }
        _ = try run(
            (0..<3).map {
                job("\($0)", items: 2, bad: $0 == 1 ? 0 : nil, results: results[$0])
            })
        for (number, slots) in results.enumerated() {
            for item in 0..<2 {
                let text = try? slots[item]?.get()
                #expect(text == (number == 1 && item == 0 ? nil : "\(number) \(item)"))
            }
        }
    }

    @Test func aGroupWaitsForOthersAsLongAsItIsTold() throws {
        var limits = Scheduler.Limits()
        limits.batchWait = 400_000_000
        let scheduler = Scheduler(threadCount: 2, limits: limits)
        let begin = monotonicNow()
        try scheduler.submit(job("a"))
        usleep(50_000)
        try scheduler.submit(job("b"))
        ends.wait { $0.count == 2 ? () : nil }
        #expect(groups.all.flatMap { $0 }.count == 2)
        #expect(monotonicNow() - begin >= limits.batchWait)
        scheduler.stop()
        #expect(scheduler.statistics.groupItems == 2)
    }

    /// It would end in an hour.
    @Test(.timeLimit(.minutes(5))) func aFullGroupDoesNotWait() throws {
        var limits = Scheduler.Limits()
        limits.batchWait = 3_600_000_000_000
        let scheduler = Scheduler(threadCount: 2, limits: limits)
        try scheduler.submit(job("c", items: 8))
        ends.wait { $0.count == 1 ? () : nil }
        scheduler.stop()
        #expect(scheduler.statistics.groupItems == 8)
    }

    /// Requests of one kind with an item each, and what they come to.
    @Test(arguments: ["embed_image", "gradient", "embed_text", "condition"])
    func sharedGroupsGiveTheSameBits(op: String) throws {
        func request(_ number: Int) throws -> (JSONObject, [Input]) {
            let text = "a red circle and \(number) blue squares"
            switch op {
            case "embed_text": return (["texts": [.string(text)]], [])
            case "condition": return (["prompts": [.string(text)], "recipe": "sd1"], [])
            default:
                let picture = try EngineFixture.disc(
                    [UInt8(20 * number), 90, 200], on: EngineFixture.white, side: 40 + number)
                return (
                    op == "gradient" ? ["prompts": [.string(text)]] : [:],
                    [EngineFixture.file(picture)]
                )
            }
        }
        let sources: [ModelRegistry.Source] =
            op == "condition"
            ? [ModelRegistry.Source(name: "sd1", path: PipelineFixture.folder + "/sd1")]
            : [.embedded]
        let registry = try ModelRegistry(sources: sources)
        func frames(_ reply: Reply) -> [[UInt8]] { reply.outputs.map(\.frame.array) }
        let alone = EngineFixture(Engine(registry: registry, threadCount: 1))
        let expected = try (0..<10).map { number in
            let (params, inputs) = try request(number)
            let reply = alone.call(op, params, inputs)
            #expect(reply.error == nil && reply.items.isEmpty)
            return frames(reply)
        }
        let engine = Engine(registry: registry, threadCount: 2)
        let isOpen = Monitor(false)
        for _ in 0..<2 {
            try engine.scheduler.submit(
                Job(
                    priority: 100, arrival: monotonicNow(), deadline: nil, expense: Expense(),
                    plan: { () throws(WireFault) in
                        isOpen.wait { $0 ? () : nil }
                        return WorkPlan { () throws(WireFault) in Outcome() }
                    }, completion: { _, _ in }))
        }
        let replies = Monitor<[Int: Reply]>([:])
        for number in 0..<10 {
            let (params, inputs) = try request(number)
            let request = Request(
                id: "\(number)", op: op, params: params, inputs: inputs,
                receivedAt: monotonicNow())
            engine.handle(request) { reply in replies.update { $0[number] = reply } }
        }
        isOpen.update { $0 = true }
        let all = replies.wait { $0.count == 10 ? $0 : nil }
        for number in 0..<10 {
            #expect(all[number].map(frames) == expected[number], "request \(number)")
        }
        #expect(engine.scheduler.statistics.sharedGroups > 0)
        engine.stop()
    }
}
