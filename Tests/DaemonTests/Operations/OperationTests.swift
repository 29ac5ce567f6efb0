import Daemon
import Encoders
import Glibc
import IPC
import JSON
import Serving
import System
import Testing

@Suite struct OperationTests {
    typealias F = EngineFixture

    @Test func ranksPicturesByWhatThePromptSays() throws {
        let fixture = try F()
        let files = [
            try F.disc(F.green, on: F.white), try F.disc(F.red, on: F.white),
            try F.disc(F.blue, on: F.white),
        ].map(F.file)
        for (prompt, expected) in [
            ("a green circle on a white background", 0), ("a red circle on a white background", 1),
            ("a blue circle on a white background", 2),
        ] {
            let reply = fixture.call("rank", ["prompt": .string(prompt)], files)
            let ranking = try #require(reply.result["ranking"]?.arrayValue)
            #expect(ranking.count == 3)
            #expect(ranking.first?["index"] == .integer(expected), "\(prompt)")
        }
    }

    @Test func scoresAreCosinesOfTheEmbeddings() throws {
        let fixture = try F()
        let files = [try F.disc(F.red, on: F.white), try F.disc(F.blue, on: F.green, side: 97)].map(
            F.file)
        let prompts: JSONValue = ["a red circle", "a blue circle", "a pizza"]
        let images = try fixture.call("embed_image", [:], files).floats("embeddings")
        let texts = try fixture.call("embed_text", ["texts": prompts]).floats("embeddings")
        let width = images.count / 2
        let scores = fixture.call("score", ["prompts": prompts], files)
        #expect(scores.shape("scores") == [2, 3])
        let values = try scores.floats("scores")
        for image in 0..<2 {
            for text in 0..<3 {
                var dot: Float = 0
                for index in 0..<width {
                    dot += images[image * width + index] * texts[text * width + index]
                }
                #expect(abs(dot - values[image * 3 + text]) < 1e-5)
            }
        }
        let pairwise = fixture.call(
            "score", ["prompts": ["a red circle", "a blue circle"], "pairwise": true], files)
        #expect(pairwise.shape("scores") == [2])
        #expect(try pairwise.floats("scores") == [values[0], values[4]])
        let clipscore = fixture.call(
            "score", ["prompts": ["a red circle"], "metric": "clipscore"], files)
        let prefixed = fixture.call("score", ["prompts": ["A photo depicts a red circle"]], files)
        #expect(
            try zip(clipscore.floats("scores"), prefixed.floats("scores"))
                .allSatisfy { abs($0 - 2.5 * max($1, 0)) < 1e-5 })
    }

    @Test func classificationIsADistributionOverTheLabels() throws {
        let fixture = try F()
        let reply = fixture.call(
            "classify", ["labels": ["red circle", "green square", "dog"]],
            [F.file(try F.disc(F.red, on: F.white))])
        let probabilities = try reply.floats("probabilities")
        #expect(reply.shape("probabilities") == [1, 3])
        #expect(abs(probabilities.reduce(0, +) - 1) < 1e-5)
        #expect(probabilities[0] == probabilities.max())
    }

    @Test(arguments: ["cosine", "spherical", "logit"])
    func gradientAgreesWithFiniteDifferencesAtTheImagesOwnSize(loss: String) throws {
        let fixture = try F()
        let (height, width) = (40, 90)
        var random = SeededGenerator(seed: 11)
        let image = (0..<3 * height * width).map { _ in Float.random(in: 0.2...0.8, using: &random)
        }
        let direction = image.map { _ in Float.random(in: -1...1, using: &random) }
        let params: JSONObject = [
            "prompts": ["a red circle", "a dog"], "weights": [1, -0.4], "loss": .string(loss),
        ]
        func moved(_ step: Float) -> Input {
            F.floats([1, 3, height, width], zip(image, direction).map { $0 + step * $1 })
        }
        let reply = fixture.call("gradient", params, [moved(0)])
        #expect(reply.shape("gradient") == [1, 3, height, width])
        let gradient = try reply.floats("gradient")
        let expected =
            zip(gradient, direction).map { Double($0) * Double($1) }.reduce(0, +)
        let step: Float = 2e-3
        let above = try fixture.call("gradient", params, [moved(step)]).floats("loss")[0]
        let below = try fixture.call("gradient", params, [moved(-step)]).floats("loss")[0]
        let observed = (Double(above) - Double(below)) / (2 * Double(step))
        let scale = max(abs(expected), abs(observed))
        #expect(abs(observed - expected) < 0.03 * scale + 2e-4, "\(observed) \(expected)")
    }

    @Test func everyImageFormMeansTheSamePicture() throws {
        let fixture = try F()
        let side = 64
        let rgb = F.pixels(F.red, on: F.white, side: side)
        let rgba = stride(from: 0, to: rgb.count, by: 3).flatMap { rgb[$0..<$0 + 3] + [255] }
        let planes = (0..<3).flatMap { channel in
            (0..<side * side).map { Float(rgb[3 * $0 + channel]) / 255 }
        }
        let inputs = [
            F.file(try F.disc(F.red, on: F.white)),
            Input(
                TensorHeader(name: "images", datatype: .uint8, shape: [1, side, side, 3]),
                Frame(rgb)),
            Input(
                TensorHeader(name: "images", datatype: .uint8, shape: [1, side, side, 4]),
                Frame(rgba)),
            F.floats([1, 3, side, side], planes),
        ]
        let scores = try fixture.call("score", ["prompts": ["a red circle"]], inputs)
            .floats("scores")
        #expect(scores[0] == scores[1])
        #expect(scores[0] == scores[2])
        // No resize at the model's own size: the float path sees the same values.
        #expect(abs(scores[0] - scores[3]) < 1e-5)
    }

    @Test func aBadItemFailsAloneAndTheOthersAreUntouched() throws {
        let fixture = try F()
        let good = try F.disc(F.red, on: F.white)
        var notFinite = [Float](repeating: 0.5, count: 3 * 8 * 8)
        notFinite[100] = .nan
        let alone = try fixture.call("score", ["prompts": ["a red circle"]], [F.file(good)])
            .floats("scores")
        let reply = fixture.call(
            "score", ["prompts": ["a red circle"]],
            [
                F.file(Array(good.prefix(good.count / 2))), F.file(good), F.file([]),
                F.floats([1, 3, 8, 8], notFinite), F.file(Array("GIF89a".utf8)),
            ])
        #expect(reply.status == .ok)
        #expect(reply.items.map(\.index) == [0, 2, 3, 4])
        #expect(reply.items.allSatisfy { $0.error.code == .badImage })
        let scores = try reply.floats("scores")
        #expect(scores[1] == alone[0])
        #expect([0, 2, 3, 4].allSatisfy { scores[$0].isNaN })
        let gradient = fixture.call(
            "gradient", ["prompts": ["a red circle"]], [F.file([1, 2, 3]), F.file(good)])
        #expect(gradient.items.map(\.index) == [0])
        #expect(gradient.shape("gradient") == [2, 3, 64, 64])
        #expect(try gradient.floats("loss")[0].isNaN)
        #expect(try gradient.floats("loss")[1].isFinite)
    }

    /// More images than are prepared before the tower takes them.
    @Test func manyImagesComeInTheirOrderAndFailAlone() throws {
        let fixture = try F()
        let (count, size) = (1_400, 3 * 2 * 2)
        let kinds: [[Float]] = (0..<3).map { kind in
            (0..<size).map { (index: Int) -> Float in Float((index * 7 + kind * 5) % 11) / 10 }
        }
        let bad = [3, 1_000, 1_399]
        var values: [Float] = []
        for index in 0..<count { values += kinds[index % 3] }
        for index in bad { values[index * size + 1] = Float.infinity }
        let expected = try fixture.call(
            "score", ["prompts": ["red"]], [F.floats([3, 3, 2, 2], Array(kinds.joined()))]
        ).floats("scores")
        let reply = fixture.call(
            "score", ["prompts": ["red"]], [F.floats([count, 3, 2, 2], values)])
        #expect(reply.items.map(\.index) == bad)
        let scores = try reply.floats("scores")
        let wrong = (0..<count).filter { (index: Int) -> Bool in
            if bad.contains(index) { return !scores[index].isNaN }
            return scores[index] != expected[index % 3]
        }
        #expect(wrong.isEmpty)
    }

    @Test func resultsDoNotDependOnBatchOrThreads() throws {
        let one = try F(threads: 1)
        let many = try F(threads: 3)
        let files = try (0..<7).map { index in
            F.file(try F.disc([UInt8(30 * index), 90, 200], on: F.white, side: 50 + 13 * index))
        }
        let prompts: JSONValue = ["a red circle", "a much longer prompt about a dog and a cat"]
        let batch = try many.call("score", ["prompts": prompts], files).floats("scores")
        let gradients = try (0..<7).map {
            try many.call("gradient", ["prompts": prompts], files).floats("gradient.\($0)")
        }
        for (index, file) in files.enumerated() {
            #expect(
                try one.call("score", ["prompts": prompts], [file]).floats("scores")
                    == Array(batch[2 * index..<2 * index + 2]))
            #expect(
                try one.call("gradient", ["prompts": prompts], [file]).floats("gradient")
                    == gradients[index])
        }
    }

    @Test func preparedPromptsGiveTheSameResultsUntilTheyAreReleased() throws {
        let fixture = try F()
        let file = F.file(try F.disc(F.red, on: F.white))
        let params: JSONObject = ["prompts": ["a red circle", "a dog"], "weights": [1, -0.5]]
        let prepared = fixture.call("prepare", params)
        let handle = try #require(prepared.result["handle"])
        #expect(
            try fixture.call("gradient", ["handle": handle], [file]).floats("gradient")
                == fixture.call("gradient", params, [file]).floats("gradient"))
        #expect(
            try fixture.call("score", ["handle": handle], [file]).floats("scores")
                == fixture.call("score", ["prompts": ["a red circle", "a dog"]], [file])
                .floats("scores"))
        #expect(fixture.call("classify", ["handle": handle], [file]).error?.code == .badRequest)
        #expect(
            fixture.call("score", ["handle": handle, "metric": "clipscore"], [file]).error?.code
                == .badRequest)
        #expect(fixture.call("release", ["handle": handle]).status == .ok)
        #expect(fixture.call("release", ["handle": handle]).error?.field == "params.handle")
        let after = fixture.call("gradient", ["handle": handle], [file])
        #expect(after.error?.field == "params.handle")
    }

    @Test func nothingIsDroppedSilently() throws {
        let fixture = try F()
        let long = String(repeating: "a red circle and ", count: 60)
        let refused = fixture.call(
            "score", ["prompts": ["a dog", .string(long)]],
            [
                F.file(try F.disc(F.red, on: F.white))
            ])
        #expect(refused.error?.code == .promptTooLong)
        #expect(refused.error?.field == "params.prompts[1]")
        let cut = fixture.call(
            "embed_text", ["texts": [.string(long)], "long_prompts": "truncate"])
        #expect(cut.status == .ok)
        #expect(cut.warnings.contains { $0.contains("tokens dropped") })
        let tokens = fixture.call("tokenize", ["texts": ["a dog", .string(long)]])
        #expect(tokens.items.map(\.index) == [1])
        let unknown = fixture.call("embed_text", ["texts": ["a dog"], "normalise": true])
        #expect(unknown.warnings == ["unknown parameter \"normalise\" ignored"])
    }

    @Test func outputsComeInTheDatatypeAskedFor() throws {
        let fixture = try F()
        let full = try fixture.call("embed_text", ["texts": ["a dog"]]).floats("embeddings")
        let half = fixture.call("embed_text", ["texts": ["a dog"], "datatype": "FP16"])
        #expect(half.outputs.first?.header.datatype == .fp16)
        let narrowed = half.outputs[0].frame.withUnsafeBytes {
            $0.bindMemory(to: UInt16.self).map { Float(Float16(bitPattern: $0)) }
        }
        #expect(zip(full, narrowed).allSatisfy { abs($0 - $1) < 1e-3 })
    }

    @Test(
        arguments: [
            ("score", [:], "params.prompts"), ("score", ["prompts": []], "params.prompts"),
            ("score", ["prompts": "a dog"], "params.prompts"),
            ("score", ["prompts": ["a", 3]], "params.prompts[1]"),
            ("score", ["prompts": ["a"], "metric": "euclid"], "params.metric"),
            ("score", ["prompts": ["a", "b"], "pairwise": true], "params.prompts"),
            ("score", ["prompts": ["a"], "handle": "x"], "params.handle"),
            ("score", ["prompts": ["a"], "datatype": "FP64"], "params.datatype"),
            ("rank", ["prompt": ["a"]], "params.prompt"),
            ("rank", ["prompt": "a", "top_k": 0], "params.top_k"),
            ("classify", ["labels": ["a"], "templates": ["none"]], "params.templates[0]"),
            ("gradient", ["prompts": ["a"], "weights": [1, 2]], "params.weights"),
            ("gradient", ["prompts": ["a", "b"], "weights": [1, -1]], "params.weights"),
            ("gradient", ["prompts": ["a"], "loss": "mse"], "params.loss"),
            ("gradient", ["prompts": ["a"], "weights": [1], "pairwise": true], "params.weights"),
            ("gradient", ["prompts": ["a"], "pairwise": 1], "params.pairwise"),
        ] as [(String, JSONObject, String)])
    func refusesBadParametersByName(op: String, params: JSONObject, field: String) throws {
        let fixture = try F()
        let reply = fixture.call(op, params, [F.file(try F.disc(F.red, on: F.white))])
        #expect(reply.error?.code == .badRequest)
        #expect(reply.error?.field == field)
    }

    @Test func refusesTensorsThatAreNoImages() throws {
        let fixture = try F()
        let params: JSONObject = ["prompts": ["a"]]
        let wrongShape = fixture.call(
            "score", params, [F.floats([1, 4, 2, 2], Array(repeating: 0, count: 16))])
        #expect(wrongShape.error?.code == .badTensor)
        #expect(wrongShape.error?.field == "inputs[0].shape")
        let integers = Input(
            TensorHeader(name: "images", datatype: .int32, shape: [1]), Frame([1] as [Int32]))
        #expect(fixture.call("score", params, [integers]).error?.code == .badTensor)
        #expect(fixture.call("score", params).error?.field == "inputs")
    }

    /// A PNG file of one colour: 8192 × 8192 in 200 KB.
    private static let vast: Result<[UInt8], any Error> = Result {
        try PNGEncoder.encode(
            rgb: [UInt8](repeating: 90, count: 3 << 26), height: 8192, width: 8192)
    }

    @Test func aRequestIsRefusedForWhatItsImagesAndItsReplyWouldTake() throws {
        let fixture = try F()
        let file = F.file(try Self.vast.get())
        let limits = try #require(fixture.call("hello").result["limits"])
        #expect(limits["image_pixels"] == .integer(1 << 26))
        let params: JSONObject = ["prompts": ["a red circle"]]
        let replies = try #require(limits["reply_bytes"]?.intValue)
        let long = fixture.call("gradient", params, [file, file, file])
        #expect(long.error?.code == .tooLarge)
        #expect(long.error?.message.contains("\(replies)") == true)
        // Three planes of floats, and a loss and a score, of each.
        #expect(long.error?.message.contains("\(3 * (12 << 26) + 24)") == true)
        let pixels = try #require(limits["request_pixels"]?.intValue)
        let many = Array(repeating: file, count: pixels >> 26 + 1)
        let wide = fixture.call("embed_image", [:], many)
        #expect(wide.error?.code == .tooLarge && wide.error?.field == "inputs")
        #expect(wide.error?.message.contains("\(pixels)") == true)
        // A header that lies is its item's fault, and counts nothing.
        var lying = try F.disc(F.red, on: F.white)
        for index in 16..<24 { lying[index] = index % 4 == 0 ? 0 : 0xff }
        let small = F.file(try F.disc(F.red, on: F.white))
        let mixed = fixture.call("gradient", params, [F.file(lying), small])
        #expect(mixed.items.map(\.index) == [0])
        #expect(mixed.shape("gradient") == [2, 3, 64, 64])
        #expect(fixture.engine.scheduler.statistics.expense == Expense())
    }

    @Test func shortRequestsForVeryLongRepliesAreRefused() throws {
        func ask(_ params: JSONObject) throws -> WireFault? {
            try PipelineFixture.call("condition", params, model: "sd1").error
        }
        // Each prompt is small, and each stretch of steps has them all.
        let texts = (0..<64).map { JSONValue.string("a [b\($0):c:\($0 + 2)] d") }
        let segments = try ask([
            "prompts": .array(texts), "syntax": "a1111", "steps": 200, "hidden_width": 4096,
        ])
        #expect(segments?.code == .tooLarge)
        #expect(segments?.message.contains("segments of steps") == true)
        // One prompt that changes at every step.
        let steps = try ask([
            "prompts": ["a [b|c] d"], "syntax": "a1111", "steps": 1000, "hidden_width": 65_536,
        ])
        #expect(steps?.code == .tooLarge && steps?.field == "params.prompts[0]")
        let wide = try ask(["prompts": .array(texts), "hidden_width": 65_536])
        #expect(wide?.code == .tooLarge)
    }

    @Test func handlesAreBoundedInMemory() throws {
        let prompts: JSONObject = ["prompts": ["a", "b", "c"]]
        let free = try F()
        #expect(free.call("prepare", prompts).error == nil)
        let size = try #require(free.call("status").result["handle_bytes"]?.intValue)
        #expect(size > 3 * 4 * 16)
        let bound = Engine(
            registry: try F.registry.get(), threadCount: 2,
            handles: PromptHandles(limit: 100, bytes: 2 * size))
        let fixture = F(bound)
        let handles = try (0..<3).map { _ in
            try #require(fixture.call("prepare", prompts).result["handle"])
        }
        let status = fixture.call("status").result
        #expect(status["handles"] == 2 && status["handle_bytes"] == .integer(2 * size))
        #expect(fixture.call("hello").result["limits"]?["handle_bytes"] == .integer(2 * size))
        let picture = F.file(try F.disc(F.red, on: F.white))
        #expect(
            fixture.call("score", ["handle": handles[0]], [picture]).error?.field == "params.handle"
        )
        for handle in handles[1...] {
            #expect(fixture.call("score", ["handle": handle], [picture]).error == nil)
        }
        let many = JSONValue.array((0..<9).map { .string("\($0)") })
        #expect(fixture.call("prepare", ["prompts": many]).error?.code == .tooLarge)
    }

    @Test func theCanaryKeepsNobodyWaitingWhileThreadsHang() throws {
        let fixture = try F()
        let gate = Monitor(false)
        for _ in 0..<2 {
            try fixture.engine.scheduler.submit(
                Job(
                    priority: .max, arrival: monotonicNow(), deadline: nil, expense: Expense(),
                    plan: { () throws(WireFault) in
                        gate.wait { $0 ? () : nil }
                        return WorkPlan { () throws(WireFault) in Outcome() }
                    }, completion: { _, _ in }))
        }
        let ends = Monitor(0)
        fixture.engine.canary.begin(on: fixture.engine) { ends.update { $0 += 1 } }
        // We are here although both threads hang.
        #expect(fixture.engine.canary.isRunning && ends.read { $0 } == 0)
        gate.update { $0 = true }
        ends.wait { $0 == 1 ? () : nil }
        #expect(!fixture.engine.canary.isRunning)
        #expect(fixture.call("health").result["ready"] == true)
    }

    @Test func answersQuestionsAboutItself() throws {
        let fixture = try F()
        let hello = fixture.call("hello")
        #expect(hello.result["protocol"] == "GD01")
        #expect(hello.result["operations"]?.arrayValue?.contains("gradient") == true)
        #expect(fixture.call("ping").status == .ok)
        #expect(fixture.call("models").result["models"]?.arrayValue?.count == 1)
        #expect(fixture.call("status").result["threads"] == 2)
        #expect(fixture.call("health").result["ready"] == false)
        fixture.engine.canary.run(on: fixture.engine)
        #expect(fixture.call("health").result["ready"] == true)
        fixture.engine.canary.run(on: fixture.engine)
        #expect(fixture.call("health").result["ready"] == true)
        #expect(fixture.call("nonsense").error?.code == .unknownOp)
        #expect(
            fixture.call("embed_text", ["texts": ["a"]], model: "x").error?.code == .unknownModel)
    }
}

/// SplitMix64, so that a failure can be repeated.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
