import CKernels
import Encoders
import Glibc
import Synchronization
import Testing

@Suite struct ComputeTeamTests {
    private final class Tally: Sendable {
        let state: Mutex<(runs: [Int], slot: Int)>
        init(_ count: Int) { state = Mutex(([Int](repeating: 0, count: count), 0)) }
    }

    /// Threads that sit down, run regions and leave, many times at once: every chunk runs once.
    @Test(arguments: [1, 2, 3, 8]) func everyChunkRunsOnce(places: Int) async {
        guard let team = gk_team_create(places) else {
            Issue.record("no team")
            return
        }
        await withTaskGroup(of: Void.self) { group in
            for worker in 0..<4 {
                group.addTask { [team = Handle(team)] in
                    var random = TowerRandom(worker)
                    for round in 0..<200 {
                        let seat = gk_team_sit(team.pointer)
                        let slots = gk_seat_slots(seat)
                        for _ in 0..<3 {
                            let count = Int.random(in: 0...40, using: &random)
                            let tally = Tally(count)
                            gk_seat_run(
                                seat, count,
                                { context, chunk, slot in
                                    guard let context else { return }
                                    let tally = Unmanaged<Tally>.fromOpaque(context)
                                        .takeUnretainedValue()
                                    tally.state.withLock {
                                        $0.runs[chunk] += 1
                                        $0.slot = max($0.slot, slot)
                                    }
                                }, Unmanaged.passUnretained(tally).toOpaque())
                            let (runs, slot) = tally.state.withLock { $0 }
                            #expect(
                                runs == [Int](repeating: 1, count: count),
                                "worker \(worker), round \(round)")
                            #expect(slot < slots)
                        }
                        gk_team_leave(seat)
                    }
                }
            }
        }
        gk_team_destroy(team)
    }

    /// What a chunk that a helper ran saw: the processors that it may run on.
    private final class Sight: Sendable {
        let processors = Mutex<Set<Int>?>(nil)
    }

    /// A file below /proc/thread-self, empty where there is none.
    private static func ownFile(_ name: String) -> String {
        guard let file = fopen("/proc/thread-self/\(name)", "r") else { return "" }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 8192)
        let count = fread(&bytes, 1, bytes.count, file)
        return String(decoding: bytes[..<count], as: UTF8.self)
    }

    /// The processors that the calling thread may run on, below 64.
    private static func allowedProcessors() -> Set<Int> {
        for line in ownFile("status").split(separator: "\n")
        where line.hasPrefix("Cpus_allowed:") {
            let digits = line.split { $0 == "," || $0 == "\t" }.dropFirst().joined().suffix(16)
            guard let mask = UInt64(digits, radix: 16) else { return [] }
            return Set((0..<64).filter { mask >> $0 & 1 == 1 })
        }
        return []
    }

    /// The processor that the calling thread is on: the 39th field, the 37th behind its name.
    private static func processor() -> Int? {
        let fields = ownFile("stat").split(separator: ")").last?.split(separator: " ") ?? []
        return fields.count > 36 ? Int(fields[36]) : nil
    }

    /// A helper that slept wakes anywhere but where the one who sat down is, whose own processors stay as
    /// they were.
    @Test(.enabled(if: allowedProcessors().count > 1)) func helpersWakeOnOtherProcessors() {
        guard let team = gk_team_create(2) else {
            Issue.record("no team")
            return
        }
        defer { gk_team_destroy(team) }
        let allowed = Self.allowedProcessors()
        var seen = 0
        // A helper that happens not to sleep yet, or a thread that is moved meanwhile, shows nothing.
        for _ in 0..<200 where seen < 5 {
            usleep(5000)
            let before = Self.processor()
            let seat = gk_team_sit(team)
            let after = Self.processor()
            let sight = Sight()
            gk_seat_run(
                seat, 2000,
                { context, _, slot in
                    guard let context else { return }
                    if slot == 0 {
                        usleep(1)
                        return
                    }
                    let processors = ComputeTeamTests.allowedProcessors()
                    Unmanaged<Sight>.fromOpaque(context).takeUnretainedValue().processors
                        .withLock { $0 = processors }
                }, Unmanaged.passUnretained(sight).toOpaque())
            gk_team_leave(seat)
            #expect(Self.allowedProcessors() == allowed)
            guard let processors = sight.processors.withLock({ $0 }), let before, before == after
            else { continue }
            if processors == allowed.subtracting([before]) { seen += 1 }
        }
        #expect(seen == 5)
    }

    private struct Handle: @unchecked Sendable {
        // Invariant: the team synchronises itself and outlives the tasks.
        let pointer: OpaquePointer
        init(_ pointer: OpaquePointer) { self.pointer = pointer }
    }

    @Test func moreThreadsThanSeatsWorkAlone() {
        let team = ComputeTeam(places: 2)
        let seats = (0..<4).map { _ in team.sit() }
        for seat in seats { team.leave(seat) }
        let seat = team.sit()
        team.leave(seat)
    }
}
