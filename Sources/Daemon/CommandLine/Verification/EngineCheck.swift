import Encoders
import IPC
import JSON
package import Serving
import System

/// Checks of the whole way from encoded files and texts to results, as requests take it.
package enum EngineCheck {
    /// Runs the canary, and one item alone on one thread and among others on all threads.
    package static func run(_ registry: ModelRegistry, threads: Int) -> [VerificationCheck] {
        let alone = Engine(registry: registry, threadCount: 1)
        let together = Engine(registry: registry, threadCount: threads)
        defer {
            alone.stop()
            together.stop()
        }
        together.canary.run(on: together)
        let canary = together.canary.state(now: monotonicNow())
        var checks = [
            VerificationCheck(
                name: "canary", value: canary.isReady ? 0 : 1, limit: 0,
                meaning: canary.fault
                    ?? "failures from encoded file and text to the final result")
        ]
        let model = registry.defaultModel.model
        if model.text != nil {
            checks.append(
                compare(
                    "text batch invariance", threads, LocalSession(engine: alone),
                    LocalSession(engine: together)
                ) { session, isBatch in
                    let texts = isBatch ? ["a photo of a cat"] + others : ["a photo of a cat"]
                    return try session.call(
                        op: "embed_text", model: nil,
                        params: ["texts": .array(texts.map { .string($0) })], inputs: []
                    ).rows("embeddings", count: texts.count)[0]
                })
        }
        guard let size = model.image?.sizes.imageSize else { return checks }
        let pictures = (0..<5).map { Picture(seed: $0, side: size + 7).input }
        func inputs(_ isBatch: Bool) -> [Input] { isBatch ? pictures : [pictures[0]] }
        checks.append(
            compare(
                "image batch invariance", threads, LocalSession(engine: alone),
                LocalSession(engine: together)
            ) { session, isBatch in
                try session.call(
                    op: "embed_image", model: nil, params: [:], inputs: inputs(isBatch)
                ).rows("embeddings", count: inputs(isBatch).count)[0]
            })
        if model.text != nil {
            checks.append(
                compare(
                    "gradient batch invariance", threads, LocalSession(engine: alone),
                    LocalSession(engine: together)
                ) { session, isBatch in
                    let (values, shape) = try session.call(
                        op: "gradient", model: nil, params: ["prompts": ["a photo of a cat"]],
                        inputs: inputs(isBatch)
                    ).tensor("gradient")
                    return Array(values.prefix(shape.dropFirst().reduce(1, *)))
                })
        }
        return checks
    }

    private static let others = ["a small green star", "", "two dogs on a sofa, in the evening"]

    /// Counts the values of an item that differ, bit for bit, between the two ways to compute it.
    private static func compare(
        _ name: String, _ threads: Int, _ alone: LocalSession, _ together: LocalSession,
        _ item: (_ session: LocalSession, _ isBatch: Bool) throws -> [Float]
    ) -> VerificationCheck {
        let value: Double
        var meaning = "values that differ: alone on 1 thread, in a batch on \(threads)"
        do {
            let expected = try item(alone, false)
            let found = try item(together, true)
            let differing = zip(expected, found).count { $0.bitPattern != $1.bitPattern }
            value = expected.count == found.count ? Double(differing) : .infinity
        } catch {
            value = .infinity
            meaning = FailureText.text(error)
        }
        return VerificationCheck(name: name, value: value, limit: 0, meaning: meaning)
    }

    /// A seeded picture of coloured stripes and noise, larger than the model's input so that it has
    /// to be resized.
    private struct Picture {
        let input: Input

        init(seed: Int, side: Int) {
            var state = UInt64(truncatingIfNeeded: seed) &* 0x9e37_79b9_7f4a_7c15 | 1
            var pixels: [UInt8] = []
            pixels.reserveCapacity(3 * side * side)
            for y in 0..<side {
                for x in 0..<side {
                    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                    let noise = Int(state >> 59)
                    pixels += [
                        UInt8(truncatingIfNeeded: (x * (seed + 3) + noise) & 255),
                        UInt8(truncatingIfNeeded: (y * (seed + 2) + 2 * noise) & 255),
                        UInt8(truncatingIfNeeded: ((x + y) * (seed + 1) + 3 * noise) & 255),
                    ]
                }
            }
            input = Input(
                TensorHeader(name: "image", datatype: .uint8, shape: [1, side, side, 3]),
                Frame(pixels))
        }
    }
}
