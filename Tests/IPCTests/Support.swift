import IPC
import JSON

/// SplitMix64 (Steele, Lea and Flood 2014): small, seeded, good enough for test data.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
        return mixed ^ (mixed >> 31)
    }
}

let magic = Frame(WireProtocol.magic)
let alice = ClientAddress(socket: 0, routingID: [0, 1, 2, 3, 4])
let bob = ClientAddress(socket: 0, routingID: Array("bob".utf8))

/// A message with this header text.
func message(_ header: String, _ tensors: [Frame] = []) -> [Frame] {
    [magic, Frame(Array(header.utf8))] + tensors
}

/// `count` bytes of nothing in particular.
func bytes(_ count: Int) -> Frame { Frame([UInt8](repeating: 7, count: count)) }

/// A state machine behind a reference, so that its mutations can stand within expectations.
final class MachineUnderTest {
    private var machine: ServerStateMachine

    init(limits: Limits = Limits()) { machine = ServerStateMachine(limits: limits) }

    var inFlight: Int { machine.inFlight }
    var inFlightBytes: Int { machine.inFlightBytes }
    var isDraining: Bool { machine.isDraining }
    var counters: ServerCounters { machine.counters }

    func isInFlight(_ id: String, of client: ClientAddress) -> Bool {
        machine.isInFlight(id, of: client)
    }

    func receive(
        _ frames: [Frame], droppedFrames: Int = 0, from client: ClientAddress = alice,
        now: UInt64 = 0
    ) -> [ServerStateMachine.Action] {
        machine.receive(frames: frames, droppedFrames: droppedFrames, from: client, now: now)
    }

    func complete(
        _ reply: Reply, for client: ClientAddress = alice
    ) -> [ServerStateMachine.Action] {
        machine.complete(reply, for: client)
    }

    var comparing: Int { machine.comparing }

    func compared(
        _ comparison: ServerStateMachine.Comparison
    ) -> [ServerStateMachine.Action] {
        machine.compared(comparison, isSame: comparison.isSame)
    }

    func clientGone(_ client: ClientAddress) -> [ServerStateMachine.Action] {
        machine.clientGone(client)
    }

    func refuseInFlight() -> [ServerStateMachine.Action] { machine.refuseInFlight() }

    func beginDraining() { machine.beginDraining() }

    /// Takes a message that is expected to be refused at once, and reads the refusal.
    func refusal(_ frames: [Frame], from client: ClientAddress = alice) throws -> Reply? {
        guard let (target, frames) = sent(receive(frames, from: client)), target == client else {
            return nil
        }
        return try replyBehindEnvelope(frames)
    }

    /// Takes a message that is expected to be handed to the handler.
    func dispatched(
        _ frames: [Frame], from client: ClientAddress = alice, now: UInt64 = 0
    ) -> Request? {
        let actions = receive(frames, from: client, now: now)
        guard actions.count == 1, case .dispatch(let request) = actions[0] else { return nil }
        return request
    }
}

/// The frames of a single `send`, and to whom.
func sent(_ actions: [ServerStateMachine.Action]) -> (client: ClientAddress, frames: [Frame])? {
    guard actions.count == 1, case .send(let client, let frames) = actions[0] else { return nil }
    return (client, frames)
}

/// Reads a reply whatever envelope came back in front of it. Envelopes of broken messages may hold
/// the protocol's name themselves.
func replyBehindEnvelope(_ frames: [Frame]) throws(WireFault) -> Reply {
    var failure = WireFault(.unsupportedVersion, "no protocol name")
    for start in frames.indices.prefix(9) where frames[start] == magic {
        do throws(WireFault) {
            return try MessageCodec.decodeReply(Array(frames[start...]))
        } catch {
            failure = error
        }
    }
    throw failure
}
