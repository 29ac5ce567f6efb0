import Daemon
import Encoders
import IPC
import JSON
import Serving
import System
import Testing

@Suite struct ImageRemarkTests {
    typealias F = EngineFixture

    private static let calls: [(String, JSONObject)] = [
        ("embed_image", [:]), ("score", ["prompts": ["a dog"]]), ("rank", ["prompt": "a dog"]),
        ("classify", ["labels": ["dog", "cat"]]), ("gradient", ["prompts": ["a dog"]]),
        ("condition_image", [:]), ("condition_image", ["mix": true]),
    ]

    private static func floats(_ values: ClosedRange<Float>) -> Input {
        let size = 3 * 8 * 8
        let step = (values.upperBound - values.lowerBound) / Float(size - 1)
        return F.floats(
            [1, 3, 8, 8],
            (0..<size).map { min(values.lowerBound + Float($0) * step, values.upperBound) })
    }

    @Test(arguments: calls)
    func floatsFarBeyondTheUsualAreNamed(op: String, params: JSONObject) throws {
        let fixture = try F()
        let reply = fixture.call(
            op, params,
            [
                Self.floats(0...1), Self.floats(-1...1), Self.floats(-0.4...1.4),
                Self.floats(0...255),
            ])
        #expect(reply.items.isEmpty)
        #expect(reply.warnings.count == 1)
        let text = try #require(reply.warnings.first)
        #expect(text.hasPrefix("images 1, 3: float pixels from -1.0 to 255.0, far beyond 0…1"))
    }

    @Test(arguments: calls)
    func turnedPicturesAreNamed(op: String, params: JSONObject) throws {
        let fixture = try F()
        let upright = try F.disc(F.red, on: F.white)
        // Behind the 33 bytes of signature and header: eXIf with the orientation 6, and its checksum.
        let turned: [UInt8] = [
            0, 0, 0, 26, 0x65, 0x58, 0x49, 0x66,
            0x4d, 0x4d, 0, 42, 0, 0, 0, 8, 0, 1,
            0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 0,
        ]
        let chunk = turned + Self.checksum(turned[4...])
        let reply = fixture.call(
            op, params,
            [F.file(upright), F.file(Array(upright[..<33]) + chunk + Array(upright[33...]))])
        #expect(reply.items.isEmpty)
        #expect(reply.warnings.count == 1)
        #expect(reply.warnings.first?.hasPrefix("image 1: EXIF orientation 6") == true)
        // The pixels are the same.
        if op == "embed_image" {
            let values = try reply.floats("embeddings")
            #expect(values.prefix(values.count / 2) == values.suffix(values.count / 2))
        }
    }

    private static func checksum(_ bytes: some Sequence<UInt8>) -> [UInt8] {
        var value: UInt32 = ~0
        for byte in bytes {
            value ^= UInt32(byte)
            for _ in 0..<8 { value = value & 1 == 1 ? 0xEDB8_8320 ^ (value >> 1) : value >> 1 }
        }
        return (0..<4).map { UInt8(truncatingIfNeeded: ~value >> (24 - 8 * $0)) }
    }

    @Test func aModelSaysWhosePixelsItTakes() throws {
        let registry = try ModelRegistry(
            sources: ImagePreprocessing.Profile.allCases.map {
                ModelRegistry.Source(
                    name: $0.rawValue, path: ModelRegistry.Source.embeddedPath, imageProfile: $0)
            } + [.embedded])
        let engine = Engine(registry: registry, threadCount: 2)
        var embeddings: [String: [Float]] = [:]
        var fingerprints: [String: String] = [:]
        let picture = F.file(try F.disc(F.red, on: F.blue, side: 150))
        for model in registry.models {
            let profile = model.description["image_profile"]?.stringValue
            #expect(profile == (model.name == "default" ? "transformers-pil" : model.name))
            let answer = Monitor<Reply?>(nil)
            engine.handle(
                Request(
                    id: "t", op: "embed_image", model: model.name, params: [:], inputs: [picture],
                    receivedAt: monotonicNow())
            ) { reply in answer.update { $0 = reply } }
            embeddings[model.name] = try answer.wait { $0 }.floats("embeddings")
            fingerprints[model.name] = model.fingerprint
        }
        #expect(embeddings["default"] == embeddings["transformers-pil"])
        #expect(fingerprints["default"] == fingerprints["transformers-pil"])
        // An opaque square picture is the same to open_clip as to Pillow's backend.
        #expect(embeddings["open_clip"] == embeddings["transformers-pil"])
        #expect(Set(embeddings.values).count == 3)
        #expect(Set(fingerprints.values).count == 4)
    }
}
