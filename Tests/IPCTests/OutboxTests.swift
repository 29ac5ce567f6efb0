import IPC
import Testing

@Suite struct OutboxTests {
    private func sizes(_ messages: [[Frame]]) -> [Int] { messages.map { $0[0].count } }

    @Test func repliesWaitInOrderAndAreSentWhenThereIsRoom() {
        var outbox = Outbox(repliesPerClient: 100, bytesPerClient: 1000, bytesInAll: 10_000)
        #expect(outbox.isEmpty && !outbox.isWaiting(alice))
        for size in 1...5 { #expect(outbox.add([bytes(size)], for: alice) == .waits) }
        #expect(outbox.isWaiting(alice) && !outbox.isWaiting(bob))
        #expect(outbox.bytes == 15)
        var delivered: [[Frame]] = []
        let first = outbox.flush { _, message in
            if delivered.count == 2 { return .full }
            delivered.append(message)
            return .sent
        }
        #expect(first.sent == 2 && first.events.isEmpty)
        #expect(outbox.bytes == 12)
        #expect(outbox.add([bytes(6)], for: alice) == .waits)
        let second = outbox.flush { _, message in
            delivered.append(message)
            return .sent
        }
        #expect(second.sent == 4)
        #expect(second.events == [.caughtUp(alice, dropped: 0)])
        #expect(sizes(delivered) == [1, 2, 3, 4, 5, 6])
        #expect(outbox.isEmpty && outbox.bytes == 0)
    }

    @Test func longQueuesLetGoOfWhatWasSent() {
        var outbox = Outbox(repliesPerClient: 1000, bytesPerClient: 1 << 20, bytesInAll: 1 << 20)
        for size in 1...300 { #expect(outbox.add([bytes(size)], for: alice) == .waits) }
        var delivered: [[Frame]] = []
        while !outbox.isEmpty {
            var room = 70
            _ = outbox.flush { _, message in
                if room == 0 { return .full }
                room -= 1
                delivered.append(message)
                return .sent
            }
        }
        #expect(sizes(delivered) == Array(1...300))
        #expect(outbox.bytes == 0)
    }

    @Test func whatExceedsABoundIsDroppedAndCounted() {
        var outbox = Outbox(repliesPerClient: 3, bytesPerClient: 100, bytesInAll: 250)
        // One reply may exceed the client's bound, alone.
        #expect(outbox.add([bytes(120)], for: alice) == .waits)
        #expect(outbox.add([bytes(1)], for: alice) == .dropped(isFirst: true))
        #expect(outbox.add([bytes(1)], for: alice) == .dropped(isFirst: false))
        for _ in 0..<3 { #expect(outbox.add([bytes(10)], for: bob) == .waits) }
        #expect(outbox.add([bytes(10)], for: bob) == .dropped(isFirst: true))
        let carol = ClientAddress(socket: 1, routingID: [9])
        #expect(outbox.add([bytes(100)], for: carol) == .waits)
        let dave = ClientAddress(socket: 2, routingID: [9])
        #expect(outbox.add([bytes(1)], for: dave) == .dropped(isFirst: true))
        let flushed = outbox.flush { _, _ in .sent }
        #expect(flushed.sent == 5)
        for (client, dropped) in [(alice, 2), (bob, 1), (carol, 0), (dave, 1)] {
            #expect(flushed.events.contains(.caughtUp(client, dropped: dropped)))
        }
        #expect(outbox.isEmpty && outbox.bytes == 0)
    }

    @Test func aClientThatIsGoneLosesItsQueueAndNobodyElseDoes() {
        var outbox = Outbox(repliesPerClient: 10, bytesPerClient: 100, bytesInAll: 1000)
        for _ in 0..<3 {
            #expect(outbox.add([bytes(5)], for: alice) == .waits)
            #expect(outbox.add([bytes(7)], for: bob) == .waits)
        }
        let flushed = outbox.flush { client, _ in client == alice ? .unreachable : .full }
        #expect(flushed.events == [.unreachable(alice, dropped: 3)])
        #expect(outbox.bytes == 21 && !outbox.isWaiting(alice) && outbox.isWaiting(bob))
    }

    @Test func aReplyThatCannotBeSentDoesNotHoldUpTheNext() {
        var outbox = Outbox(repliesPerClient: 10, bytesPerClient: 100, bytesInAll: 1000)
        for size in 1...3 { #expect(outbox.add([bytes(size)], for: alice) == .waits) }
        let flushed = outbox.flush { _, message in
            message[0].count == 2 ? .failed("why not") : .sent
        }
        #expect(flushed.sent == 2)
        #expect(
            flushed.events == [
                .failed(alice, reason: "why not"), .caughtUp(alice, dropped: 0),
            ])
    }
}
