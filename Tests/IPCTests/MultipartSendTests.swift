import IPC
import Testing

@Suite struct MultipartSendTests {
    /// What was called, with a call that fails.
    private final class Calls {
        var log: [String] = []
        let failing: String

        init(failing: String) { self.failing = failing }

        func call(_ name: String) -> Bool {
            log.append(name)
            return name != failing
        }

        func run(_ count: Int) -> MultipartSend.Outcome {
            MultipartSend.run(
                count: count, make: { call("make \($0)") },
                send: { call("send \($0)\($1 ? "+" : "")") }, close: { _ = call("close") },
                discard: { for index in $0 { _ = call("discard \(index)") } })
        }
    }

    @Test func aMessageIsSentFrameByFrameAndItsLastFrameEndsIt() {
        let calls = Calls(failing: "")
        #expect(calls.run(3) == .sent)
        #expect(
            calls.log == ["make 0", "make 1", "make 2", "send 0+", "send 1+", "send 2"])
    }

    @Test func nothingIsSentUntilEveryFrameIsThere() {
        let calls = Calls(failing: "make 2")
        #expect(calls.run(3) == .failedBefore(index: 2))
        #expect(calls.log.suffix(2) == ["discard 0", "discard 1"])
        #expect(!calls.log.contains { $0.hasPrefix("send") || $0 == "close" })
    }

    @Test func aPeerThatCannotBeReachedGetsNoPartOfAMessage() {
        let calls = Calls(failing: "send 0+")
        #expect(calls.run(2) == .failedBefore(index: 0))
        #expect(calls.log.suffix(3) == ["send 0+", "discard 0", "discard 1"])
    }

    @Test(arguments: [("send 1+", 1), ("send 2", 2)])
    func aMessageThatFailsInItsMiddleIsClosedBeforeTheNext(failing: String, index: Int) {
        let calls = Calls(failing: failing)
        #expect(calls.run(3) == .failedAt(index: index))
        #expect(
            Array(calls.log.drop { $0 != failing }.dropFirst())
                == ["close"] + (index..<3).map { "discard \($0)" })
    }
}
