import Daemon
import IPC
import Serving
import Testing

@Suite struct DescriptorWatchTests {
    private func state(_ refused: Int, _ isAccepting: Bool) -> Descriptors.State {
        Descriptors.State(
            limit: 1024, reserved: 64, refusedConnections: refused, isAccepting: isAccepting)
    }

    @Test func theLogSaysOnceThatConnectionsAreRefusedAndWhenThatIsOver() {
        var watch = DescriptorWatch(state(3, true))
        #expect(watch.note(state(3, true), now: 0) == nil)
        #expect(watch.note(state(5, false), now: 1) == .refused(2))
        #expect(watch.note(state(90, false), now: 2) == nil)
        let later = 2 + DescriptorWatch.interval
        #expect(watch.note(state(100, false), now: later) == .refused(95))
        #expect(watch.note(state(100, false), now: later + 1) == nil)
        #expect(watch.note(state(100, true), now: later + 2) == .acceptsAgain)
        #expect(watch.note(state(100, true), now: later + 3) == nil)
        #expect(watch.note(state(101, false), now: later + 4) == .refused(1))
    }
}
