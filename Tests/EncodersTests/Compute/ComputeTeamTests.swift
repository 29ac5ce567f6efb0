import CKernels
import Encoders
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
