import Daemon
import Encoders
import IPC
import JSON
import Serving
import System
import Testing

/// Embeddings that are not finite or have no length: every operation says so, of the same items.
@Suite struct UnusableResultTests {
    typealias F = EngineFixture

    /// Finite pixels of which the tower makes numbers that are not, between two honest pictures.
    private static func images() throws -> [Input] {
        let far = [Float](repeating: 3e38, count: 3 * 64 * 64)
        return [
            F.file(try F.disc(F.red, on: F.white)), F.floats([1, 3, 64, 64], far),
            F.file(try F.disc(F.blue, on: F.white)),
        ]
    }

    private static func engine(_ folder: TemporaryFolder) throws -> LoadingFixture {
        let fixture = try LoadingFixture([.init(name: "default", path: folder.path)])
        #expect(try fixture.finish())
        return fixture
    }

    @Test(
        arguments: [
            ("embed_image", [:], "embeddings"),
            ("embed_image", ["normalize": false], "embeddings"),
            ("score", ["prompts": ["a red circle", "a dog"]], "scores"),
            ("score", ["prompts": ["a", "b", "c"], "pairwise": true], "scores"),
            ("classify", ["labels": ["circle", "dog"]], "probabilities"),
            ("gradient", ["prompts": ["a red circle"]], "gradient"),
            ("gradient", ["prompts": ["a red circle"], "loss": "spherical"], "loss"),
            ("condition_image", [:], "image_embeddings"),
            ("condition_image", ["recipe": "ip-adapter-plus"], "hidden_states"),
        ] as [(String, JSONObject, String)])
    func anImageWithoutAFiniteEmbeddingFailsAlone(
        op: String, params: JSONObject, output: String
    ) throws {
        let fixture = try F()
        let images = try Self.images()
        let reply = fixture.call(op, params, images)
        #expect(reply.status == .ok)
        #expect(reply.items.map(\.index) == [1])
        #expect(reply.items.first?.error.code == .badImage)
        #expect(reply.items.first?.error.message.contains("finite") == true)
        let values = try reply.floats(output)
        let size = values.count / 3
        #expect(values[size..<2 * size].allSatisfy { $0.isNaN })
        #expect(values[..<size].allSatisfy { $0.isFinite })
        #expect(values[(2 * size)...].allSatisfy { $0.isFinite })
    }

    @Test func aRankingLeavesOutWhatHasNoScore() throws {
        let fixture = try F()
        let reply = fixture.call("rank", ["prompt": "a photo of a dog"], try Self.images())
        #expect(reply.items.map(\.index) == [1])
        let ranking = try #require(reply.result["ranking"]?.arrayValue)
        #expect(Set(ranking.compactMap { $0["index"]?.intValue }) == [0, 2])
    }

    @Test func aMixOfWhatCancelsOrCannotBeUsedIsRefused() throws {
        let fixture = try F()
        let images = try Self.images()
        let far = fixture.call("condition_image", ["mix": true], images)
        #expect(far.error?.code == .badImage)
        #expect(far.error?.field == "inputs, image 1")
        let opposite = fixture.call(
            "condition_image", ["mix": true, "weights": [1, -1]], [images[0], images[0]])
        #expect(opposite.error?.field == "params.weights")
        let huge = fixture.call(
            "condition_image", ["mix": true, "weights": [1e300]], [images[0]])
        #expect(huge.error?.field == "params.weights")
    }

    @Test func aProjectionOfZerosIsSaidOfEveryImage() throws {
        let folder = try LoadingFixture.filled("visual_projection.weight", 0)
        let fixture = try Self.engine(folder)
        let picture = F.file(try F.disc(F.red, on: F.white))
        let params: [(String, JSONObject)] = [
            ("embed_image", [:]), ("score", ["prompts": ["a"]]), ("rank", ["prompt": "a"]),
            ("classify", ["labels": ["a", "b"]]), ("gradient", ["prompts": ["a"]]),
            ("condition_image", [:]),
        ]
        for (op, params) in params {
            let reply = fixture.call(op, params, [picture])
            #expect(reply.items.map(\.index) == [0], "\(op)")
            #expect(reply.items.first?.error.code == .badImage, "\(op)")
            #expect(reply.items.first?.error.message.contains("length") == true, "\(op)")
            if op == "rank" { #expect(reply.result["ranking"] == []) }
        }
        // Hidden states do not go through the projection.
        let states = fixture.call("condition_image", ["recipe": "ip-adapter-plus"], [picture])
        #expect(states.items.isEmpty)
        // The canary takes this model as it is.
        #expect(Self.readiness(fixture) == nil)
    }

    @Test func aProjectionOfZerosIsSaidOfEveryText() throws {
        let folder = try LoadingFixture.filled("text_projection.weight", 0)
        let fixture = try Self.engine(folder)
        let texts = fixture.call("embed_text", ["texts": ["a", "b"]])
        #expect(texts.items.map(\.index) == [0, 1])
        #expect(texts.items.first?.error.code == .badRequest)
        #expect(texts.items.last?.error.field == "params.texts[1]")
        #expect(try texts.floats("embeddings").allSatisfy { $0.isNaN })
        let picture = F.file(try F.disc(F.red, on: F.white))
        let params: [(String, JSONObject, String)] = [
            ("score", ["prompts": ["a"]], "params.prompts[0]"),
            ("rank", ["prompt": "a"], "params.prompt"),
            ("classify", ["labels": ["a", "b"]], "params.labels[0]"),
            ("gradient", ["prompts": ["a", "b"]], "params.prompts[0]"),
            ("prepare", ["prompts": ["a"]], "params.prompts[0]"),
            (
                "condition_image", ["mix": true, "prompts": ["a"]], "params.prompts[0]"
            ),
        ]
        for (op, params, field) in params {
            let reply = fixture.call(op, params, op == "prepare" ? [] : [picture])
            #expect(reply.error?.code == .badRequest, "\(op)")
            #expect(reply.error?.field == field, "\(op)")
        }
    }

    /// An embedding that only fp32 and bf16 hold.
    @Test func whatADatatypeCannotHoldIsThatItemsError() throws {
        let folder = try LoadingFixture.filled(
            "vision_model.post_layernorm.weight", 65_504)
        let fixture = try Self.engine(folder)
        let picture = F.file(try F.disc(F.red, on: F.white))
        func embed(_ datatype: String, normalize: Bool) -> Reply {
            fixture.call(
                "embed_image", ["datatype": .string(datatype), "normalize": .bool(normalize)],
                [picture])
        }
        let half = embed("FP16", normalize: false)
        #expect(half.items.map(\.index) == [0])
        #expect(half.items.first?.error.field == "params.datatype")
        #expect(embed("FP16", normalize: true).items.isEmpty)
        #expect(embed("BF16", normalize: false).items.isEmpty)
        #expect(
            try embed("FP32", normalize: false).floats("embeddings").contains { abs($0) > 65_520 })
    }

    @Test func aGradientThatFP16LosesIsSaid() throws {
        let fixture = try F()
        let picture = F.file(try F.disc(F.red, on: F.white, side: 2048))
        func warnings(_ datatype: String) -> [String] {
            let reply = fixture.call(
                "gradient", ["prompts": ["a red circle"], "datatype": .string(datatype)], [picture])
            #expect(reply.items.isEmpty)
            return reply.warnings
        }
        #expect(warnings("FP32").isEmpty)
        #expect(warnings("BF16").isEmpty)
        #expect(warnings("FP16").count == 1)
        #expect(warnings("FP16").allSatisfy { $0.contains("become 0 in FP16") })
    }

    /// Emphasis multiplies by the weight, and then by 0 to keep the mean.
    @Test func weightsThatOverflowFailTheirPrompt() throws {
        let weight = "34" + String(repeating: "0", count: 37)
        let reply = try PipelineFixture.call(
            "condition",
            [
                "prompts": ["a dog", .string("(a cat:\(weight))")], "syntax": "a1111",
                "recipe": "sd1",
            ], model: "sd1")
        #expect(reply.error?.code == .badRequest)
        #expect(reply.error?.field == "params.prompts[1]")
    }

    @Test func aSizeThatADatatypeCannotHoldIsRefused() throws {
        let reply = try PipelineFixture.call(
            "condition",
            ["prompts": ["a dog"], "recipe": "sdxl", "width": 65_520, "datatype": "FP16"],
            model: "sdxl")
        #expect(reply.error?.field == "params.datatype")
    }

    private static func readiness(_ fixture: LoadingFixture) -> String? {
        let canary = Canary()
        canary.run(on: fixture.engine)
        return canary.state(now: monotonicNow()).fault
    }
}
