import IPC
import JSON
import Testing

private let ping = message(#"{"id":"a","op":"ping"}"#)
private let work = message(#"{"id":"w","op":"score","params":{"prompts":["x"]}}"#)

@Suite struct StateMachineTests {
    @Test func aRequestGetsItsReplyOnce() throws {
        let machine = MachineUnderTest()
        let request = try #require(machine.dispatched(ping))
        #expect(machine.inFlight == 1)
        #expect(machine.isInFlight("a", of: alice))
        let reply = Reply(answering: request, result: JSONObject([("pong", true)]))
        let first = try #require(sent(machine.complete(reply, for: alice)))
        #expect(first.client == alice)
        #expect(try MessageCodec.decodeReply(first.frames).result["pong"] == true)
        #expect(machine.inFlight == 0)
        // A second reply has nobody to go to.
        #expect(machine.complete(reply, for: alice).isEmpty)
        #expect(machine.counters.unmatchedReplies == 1)
    }

    @Test func theSameIDMayBeUsedAgainAfterItsReply() throws {
        let machine = MachineUnderTest()
        for _ in 0..<3 {
            let request = try #require(machine.dispatched(ping))
            #expect(sent(machine.complete(Reply(answering: request), for: alice)) != nil)
        }
        #expect(machine.counters.dispatched == 3)
    }

    @Test func aRepeatedIDJoinsTheRequestInFlight() throws {
        let machine = MachineUnderTest()
        let request = try #require(machine.dispatched(work))
        #expect(machine.receive(work).isEmpty)
        // A retry has less time left, and may be more urgent: it is still the same request.
        let retry = message(
            #"{"op":"score","id":"w","deadline_ms":5,"priority":1,"params":{"prompts":["x"]}}"#)
        #expect(machine.receive(retry).isEmpty)
        #expect(machine.counters.joined == 2)
        #expect(machine.inFlight == 1)
        #expect(sent(machine.complete(Reply(answering: request), for: alice)) != nil)
        #expect(machine.inFlight == 0)
    }

    @Test(arguments: [
        #"{"id":"w","op":"rank","params":{"prompts":["x"]}}"#,
        #"{"id":"w","op":"score","params":{"prompts":["y"]}}"#,
        #"{"id":"w","op":"score","model":"m","params":{"prompts":["x"]}}"#,
    ])
    func aRepeatedIDWithAnotherQuestionIsRefused(header: String) throws {
        let machine = MachineUnderTest()
        let request = try #require(machine.dispatched(work))
        let refusal = try #require(try machine.refusal(message(header)))
        #expect(refusal.error?.code == .badRequest)
        #expect(refusal.error?.field == "id")
        // The first is not disturbed.
        #expect(machine.inFlight == 1)
        #expect(sent(machine.complete(Reply(answering: request), for: alice)) != nil)
    }

    @Test func aRepeatedIDWithOtherPixelsIsRefused() throws {
        let machine = MachineUnderTest()
        let header = #"{"id":"a","op":"embed_image","inputs":[{"datatype":"BYTES"}]}"#
        #expect(machine.dispatched(message(header, [Frame([1, 2, 3] as [UInt8])])) != nil)
        let same = message(header, [Frame([1, 2, 3] as [UInt8])])
        #expect(machine.receive(same).isEmpty)
        let other = message(header, [Frame([1, 2, 4] as [UInt8])])
        #expect(try machine.refusal(other)?.error?.field == "id")
    }

    /// A request whose one tensor is larger than what is compared at once.
    private static func large(_ last: UInt8, id: String = "a") -> [Frame] {
        var content = [UInt8](repeating: 7, count: 300 << 10)
        content[content.count - 1] = last
        let header = #"{"id":"\#(id)","op":"embed_image","inputs":[{"datatype":"BYTES"}]}"#
        return message(header, [Frame(content)])
    }

    private func comparison(
        _ actions: [ServerStateMachine.Action]
    ) -> ServerStateMachine.Comparison? {
        guard actions.count == 1, case .compare(let comparison) = actions[0] else { return nil }
        return comparison
    }

    @Test func largeRepeatedRequestsAreComparedElsewhereAndThenJoinOrAreRefused() throws {
        let machine = MachineUnderTest()
        let request = try #require(machine.dispatched(Self.large(1)))
        let same = try #require(comparison(machine.receive([bytes(0)] + Self.large(1))))
        let other = try #require(comparison(machine.receive(Self.large(2))))
        // Until it is known, both hold memory, and nothing is answered.
        #expect(machine.inFlight == 1 && machine.inFlightBytes == 3 * 300 << 10)
        #expect(machine.comparing == 2)
        #expect(same.isSame && !other.isSame)
        #expect(machine.compared(same).isEmpty)
        #expect(machine.counters.joined == 1)
        let refusal = try #require(sent(machine.compared(other))).frames
        #expect(try MessageCodec.decodeReply(refusal).error?.field == "id")
        #expect(machine.inFlightBytes == 300 << 10 && machine.comparing == 0)
        // The reply goes where the repeated one listens.
        let reply = try #require(sent(machine.complete(Reply(answering: request), for: alice)))
        #expect(reply.frames.first == bytes(0))
        #expect(machine.inFlightBytes == 0)
    }

    @Test func aRepeatedRequestIsANewOneIfTheFirstIsAnsweredMeanwhile() throws {
        let machine = MachineUnderTest()
        let request = try #require(machine.dispatched(Self.large(1)))
        let late = try #require(comparison(machine.receive(Self.large(1))))
        #expect(sent(machine.complete(Reply(answering: request), for: alice)) != nil)
        let actions = machine.compared(late)
        guard actions.count == 1, case .dispatch = actions[0] else {
            Issue.record("it is owed a reply of its own")
            return
        }
        #expect(machine.inFlight == 1 && machine.inFlightBytes == 300 << 10)
    }

    @Test func comparisonsAreBounded() throws {
        var limits = Limits()
        limits.inFlightBytes = 700 << 10
        let machine = MachineUnderTest(limits: limits)
        #expect(machine.dispatched(Self.large(1)) != nil)
        let first = try #require(comparison(machine.receive(Self.large(1))))
        #expect(try machine.refusal(Self.large(1))?.error?.code == .overloaded)
        #expect(machine.compared(first).isEmpty)
        // Another size cannot be the same, and needs no reading.
        let header = #"{"id":"a","op":"embed_image","inputs":[{"datatype":"BYTES"}]}"#
        #expect(try machine.refusal(message(header, [bytes(301 << 10)]))?.error?.field == "id")
    }

    @Test func clientsDoNotShareIDs() throws {
        let machine = MachineUnderTest()
        let first = try #require(machine.dispatched(ping, from: alice))
        let second = try #require(machine.dispatched(ping, from: bob))
        #expect(machine.inFlight == 2)
        #expect(sent(machine.complete(Reply(answering: second), for: bob))?.client == bob)
        #expect(machine.isInFlight("a", of: alice))
        #expect(sent(machine.complete(Reply(answering: first), for: alice))?.client == alice)
    }

    @Test func partialRepliesKeepTheRequestInFlight() throws {
        let machine = MachineUnderTest()
        let request = try #require(machine.dispatched(work))
        for part in 0..<3 {
            let reply = Reply(
                answering: request, status: .partial,
                result: JSONObject([("part", .integer(part))]))
            let frames = try #require(sent(machine.complete(reply, for: alice))).frames
            #expect(try MessageCodec.decodeReply(frames).status == .partial)
        }
        #expect(machine.inFlight == 1)
        #expect(sent(machine.complete(Reply(answering: request), for: alice)) != nil)
        #expect(machine.inFlight == 0)
    }

    @Test(arguments: [
        [bytes(0)],
        [Frame([0, 0, 0, 1] as [UInt8]), bytes(0)],
        [bytes(30), bytes(5), bytes(0)],
    ])
    func theEnvelopeComesBackInFrontOfTheReply(envelope: [Frame]) throws {
        let machine = MachineUnderTest()
        let request = try #require(machine.dispatched(envelope + ping))
        let reply = try #require(sent(machine.complete(Reply(answering: request), for: alice)))
        #expect(Array(reply.frames.prefix(envelope.count)) == envelope)
        #expect(
            try MessageCodec.decodeReply(Array(reply.frames.dropFirst(envelope.count))).id == "a")
        // Refusals have it too.
        let actions = machine.receive(envelope + message("{}"))
        #expect(
            try Array(#require(sent(actions)).frames.prefix(envelope.count + 1))
                == envelope + [magic])
    }

    @Test func aRetryOfARequestSocketIsAnsweredUnderItsLatestNumber() throws {
        let machine = MachineUnderTest()
        let first = [Frame([0, 0, 0, 1] as [UInt8]), bytes(0)]
        let second = [Frame([0, 0, 0, 2] as [UInt8]), bytes(0)]
        let request = try #require(machine.dispatched(first + work))
        #expect(machine.receive(second + work).isEmpty)
        let reply = try #require(sent(machine.complete(Reply(answering: request), for: alice)))
        #expect(Array(reply.frames.prefix(2)) == second)
    }

    @Test func drainingRefusesNewWorkAndFinishesTheOld() throws {
        let machine = MachineUnderTest()
        let request = try #require(machine.dispatched(work))
        machine.beginDraining()
        #expect(machine.isDraining)
        let late = message(#"{"id":"b","op":"score"}"#)
        #expect(try machine.refusal(late)?.error?.code == .shuttingDown)
        // A retry still joins, and the daemon still says how it is.
        #expect(machine.receive(work).isEmpty)
        for op in ["ping", "health", "status", "models", "hello"] {
            let look = try #require(
                machine.dispatched(message(#"{"id":"\#(op)","op":"\#(op)"}"#)))
            #expect(sent(machine.complete(Reply(answering: look), for: alice)) != nil)
        }
        #expect(sent(machine.complete(Reply(answering: request), for: alice)) != nil)
        #expect(machine.inFlight == 0)
    }

    @Test func stoppingAtOnceAnswersEveryRequest() throws {
        let machine = MachineUnderTest()
        let request = try #require(machine.dispatched(work, from: alice))
        #expect(machine.dispatched([bytes(0)] + work, from: bob) != nil)
        let actions = machine.refuseInFlight()
        var answered: Set<ClientAddress> = []
        var abandoned = 0
        for action in actions {
            switch action {
            case .send(let client, let frames):
                let start = client == bob ? 1 : 0
                let reply = try MessageCodec.decodeReply(Array(frames[start...]))
                #expect(reply.error?.code == .shuttingDown)
                answered.insert(client)
            case .abandon: abandoned += 1
            case .dispatch, .compare: Issue.record("nothing new may start")
            }
        }
        #expect(answered == [alice, bob] && abandoned == 2)
        #expect(machine.inFlight == 0 && machine.inFlightBytes == 0)
        #expect(machine.complete(Reply(answering: request), for: alice).isEmpty)
    }

    @Test func aClientThatIsGoneIsForgotten() throws {
        let machine = MachineUnderTest()
        let request = try #require(machine.dispatched(work, from: alice))
        #expect(machine.dispatched(ping, from: alice) != nil)
        #expect(machine.dispatched(ping, from: bob) != nil)
        let abandoned = machine.clientGone(alice).map { action in
            if case .abandon(alice, let id) = action { id } else { "" }
        }
        #expect(abandoned == ["a", "w"])
        #expect(machine.inFlight == 1)
        #expect(machine.complete(Reply(answering: request), for: alice).isEmpty)
        #expect(machine.clientGone(alice).isEmpty)
    }

    @Test func workInFlightIsBounded() throws {
        var limits = Limits()
        limits.inFlightPerClient = 2
        limits.inFlight = 3
        limits.inFlightBytes = 100
        let machine = MachineUnderTest(limits: limits)
        func request(_ id: String, _ size: Int = 0) -> [Frame] {
            message(#"{"id":"\#(id)","op":"x","inputs":[{"datatype":"BYTES"}]}"#, [bytes(size)])
        }
        let first = try #require(machine.dispatched(request("1", 90)))
        let tooMuch = try #require(try machine.refusal(request("2", 11)))
        #expect(tooMuch.error?.code == .overloaded)
        #expect(tooMuch.error?.retryAfterMilliseconds != nil)
        #expect(machine.dispatched(request("2", 10)) != nil)
        #expect(try machine.refusal(request("3"))?.error?.code == .overloaded)
        #expect(machine.dispatched(request("3"), from: bob) != nil)
        #expect(try machine.refusal(request("4"), from: bob)?.error?.code == .overloaded)
        // An answer makes room again.
        #expect(sent(machine.complete(Reply(answering: first), for: alice)) != nil)
        #expect(machine.inFlightBytes == 10)
        #expect(machine.dispatched(request("4"), from: bob) != nil)
    }

    @Test func repliesWithoutARequestAreCounted() {
        let machine = MachineUnderTest()
        #expect(machine.complete(Reply(id: "x", op: nil, status: .ok), for: alice).isEmpty)
        #expect(machine.complete(Reply(id: nil, op: nil, status: .ok), for: alice).isEmpty)
        #expect(machine.counters.unmatchedReplies == 2)
    }
}
