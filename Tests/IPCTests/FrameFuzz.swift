import IPC
import JSON

/// Mutates valid messages and checks what must hold for any bytes whatever.
struct FrameFuzz {
    private(set) var failures: [String] = []
    private(set) var dispatched = 0
    private(set) var refused = 0
    private(set) var joined = 0

    private var generator: SeededGenerator
    private var machine: ServerStateMachine
    private let clients = [alice, bob, ClientAddress(socket: 1, routingID: [255])]
    /// Requests that the machine has handed out and that were not yet answered.
    private var open: [Request] = []

    /// Runs `cases` messages through one state machine.
    ///
    /// Properties: no crash; each message has exactly one outcome (refused at once, handed to the
    /// handler, or joined to a request in flight); each request handed out gets exactly one final
    /// reply; every reply parses; nothing stays in flight.
    static func run(cases: Int, seed: UInt64) -> FrameFuzz {
        var limits = Limits()
        limits.inFlightPerClient = 20
        var fuzz = FrameFuzz(
            generator: SeededGenerator(seed: seed), machine: ServerStateMachine(limits: limits))
        for index in 0..<cases where fuzz.failures.count < 5 {
            fuzz.step(index)
        }
        fuzz.finish()
        return fuzz
    }

    private init(generator: SeededGenerator, machine: ServerStateMachine) {
        self.generator = generator
        self.machine = machine
    }

    private mutating func step(_ index: Int) {
        let client = clients[pick(clients.count)]
        let frames = mutated(FrameFuzz.seeds[pick(FrameFuzz.seeds.count)])
        let before = machine.counters
        let actions = machine.receive(
            frames: frames, droppedFrames: pick(50) == 0 ? pick(1 << 40) : 0, from: client,
            now: UInt64(index))
        let after = machine.counters
        switch actions.first {
        case nil:
            joined += 1
            expect(after.joined == before.joined + 1, "case \(index): no action and no join")
        case .send(let target, let reply):
            refused += 1
            expect(target == client, "case \(index): refusal to another client")
            expect(after.refused == before.refused + 1, "case \(index): refusal not counted")
            checkReply(reply, "case \(index)") { $0.status == .error && $0.error != nil }
        case .dispatch(let request):
            dispatched += 1
            expect(request.client == client, "case \(index): wrong client")
            expect(
                request.inputs.allSatisfy {
                    $0.header.byteCount ?? $0.frame.count == $0.frame.count
                },
                "case \(index): unchecked tensor")
            open.append(request)
        case .abandon: expect(false, "case \(index): abandoned without cause")
        case .compare: expect(false, "case \(index): nothing here is large")
        }
        expect(actions.count <= 1, "case \(index): \(actions.count) actions")
        while open.count > 30 || (!open.isEmpty && pick(3) == 0) { answerOne() }
    }

    private mutating func answerOne() {
        let request = open.remove(at: pick(open.count))
        if pick(4) == 0 {
            let partial = Reply(answering: request, status: .partial)
            guard let part = sent(machine.complete(partial, for: request.client)) else {
                failures.append("a partial reply to \(request.id) went nowhere")
                return
            }
            checkReply(part.frames, request.id) { $0.status == .partial && $0.id == request.id }
        }
        let reply =
            pick(2) == 0
            ? Reply(answering: request, outputs: request.inputs)
            : Reply(failing: request, with: WireFault(.badImage, "as the fuzz wants"))
        guard let answer = sent(machine.complete(reply, for: request.client)) else {
            failures.append("the reply to \(request.id) went nowhere")
            return
        }
        expect(answer.client == request.client, "the reply went to another client")
        checkReply(answer.frames, request.id) { $0.isFinal && $0.id == request.id }
        expect(machine.complete(reply, for: request.client).isEmpty, "two final replies")
    }

    private mutating func finish() {
        while !open.isEmpty, failures.isEmpty { answerOne() }
        expect(machine.inFlight == 0 && machine.inFlightBytes == 0, "requests remain in flight")
    }

    private mutating func checkReply(
        _ frames: [Frame], _ what: String, _ holds: (Reply) -> Bool
    ) {
        do {
            let reply = try replyBehindEnvelope(frames)
            expect(holds(reply), "\(what): unexpected reply \(reply)")
        } catch {
            failures.append("\(what): a reply that does not parse: \(error)")
        }
    }

    private mutating func expect(_ condition: Bool, _ failure: @autoclosure () -> String) {
        if !condition { failures.append(failure()) }
    }

    private mutating func pick(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &generator) }
}

extension FrameFuzz {
    private static let seeds: [[Frame]] = [
        message(#"{"id":"a","op":"ping"}"#),
        [bytes(0)] + message(#"{"id":"b","op":"hello","params":{}}"#),
        [bytes(4), bytes(0)] + message(#"{"id":"c","op":"health","model":null}"#),
        message(
            #"{"id":"d","op":"score","model":"default","deadline_ms":2000,"priority":1,"params":"#
                + #"{"prompts":["a red circle","日本"],"metric":"cosine","pairwise":false},"inputs":"#
                + #"[{"name":"images","datatype":"FP32","shape":[1,3,2,2]},"#
                + #"{"name":"image","datatype":"BYTES","content_type":"image/png"}]}"#,
            [bytes(48), bytes(9)]),
        message(
            #"{"id":"e","op":"x","inputs":[{"datatype":"UINT8","shape":[2,2,3]},"#
                + #"{"datatype":"INT64","shape":[1]},{"datatype":"BF16","shape":[3]}]}"#,
            [bytes(12), bytes(8), bytes(6)]),
    ]

    private static let tokens = [
        "null", "true", "-1", "0", "1e308", "9223372036854775807", "-0.0", "[]", "{}", "\"\"",
        "\"FP16\"", "\"BYTES\"", "[1,3,2,2]", "2147483647", "\"\\ud800\"", "\"\\u0000\"", "[[[[[[",
        "\"id\":\"a\",", "\"inputs\":[],", "\u{1F600}", "}", "\"",
    ].map { Array($0.utf8) }

    private mutating func mutated(_ seed: [Frame]) -> [Frame] {
        var frames = seed
        for _ in 0..<pick(4) {
            switch pick(10) {
            case 0 where !frames.isEmpty: frames.remove(at: pick(frames.count))
            case 1: frames.insert(bytes(pick(60)), at: pick(frames.count + 1))
            case 2 where !frames.isEmpty: frames.append(frames[pick(frames.count)])
            case 3 where frames.count > 1: frames.swapAt(pick(frames.count), pick(frames.count))
            case let choice where !frames.isEmpty:
                // Mostly the header: that is where the structure is.
                let header = frames.firstIndex { $0.array.first == UInt8(ascii: "{") }
                let index = choice > 4 ? header ?? pick(frames.count) : pick(frames.count)
                frames[index] = Frame(mutated(frames[index].array))
            default: break
            }
        }
        return frames
    }

    private mutating func mutated(_ content: [UInt8]) -> [UInt8] {
        var content = content
        let place = pick(content.count + 1)
        switch pick(7) {
        case 0: content = Array(content.prefix(place))
        case 1:
            content.insert(contentsOf: FrameFuzz.tokens[pick(FrameFuzz.tokens.count)], at: place)
        case 2:
            let end = min(place + pick(12), content.count)
            content.replaceSubrange(
                place..<end, with: FrameFuzz.tokens[pick(FrameFuzz.tokens.count)])
        case 3 where place < content.count: content[place] = UInt8(pick(256))
        case 4 where place < content.count: content[place] ^= 1 << UInt8(pick(8))
        case 5:
            let end = min(place + pick(40), content.count)
            content += content[place..<end]
        case 6:
            let digits = content.indices.filter { (0x30...0x39).contains(content[$0]) }
            if !digits.isEmpty { content[digits[pick(digits.count)]] = UInt8(0x30 + pick(10)) }
        default: content.append(UInt8(pick(256)))
        }
        return content
    }
}
