import Encoders
import Glibc
import Testing

/// Timings of a ViT-B/32 with random weights, printed when GUIDANCED_TIMINGS is set; in release mode:
/// `GUIDANCED_TIMINGS=1 swift test -c release --filter TowerTimings`. Nothing here fails for being
/// slow.
@Suite(.serialized, .enabled(if: getenv("GUIDANCED_TIMINGS") != nil)) struct TowerTimings {
    private func milliseconds(_ rounds: Int, _ body: () throws -> Void) rethrows -> [Double] {
        try body()
        return try (0..<rounds).map { _ in
            let start = ContinuousClock.now
            try body()
            return (ContinuousClock.now - start) / .milliseconds(1)
        }.sorted()
    }

    private func report(_ name: String, _ times: [Double], flops: Int) {
        let rate = Double(flops) / times[0] / 1e6
        print(
            "timing: \(name): min \(times[0]) ms, median \(times[times.count / 2]) ms, "
                + "\(Int(rate)) GFLOP/s at best")
    }

    @Test func visionBase32() async throws {
        let c = VisionCase(
            "B/32", width: 768, layers: 12, heads: 12, mlp: 3072, patch: 32, image: 224,
            .quickGELU, projection: 512)
        let tower = try c.tower()
        let pixels = c.pixels(seed: 1)
        let loss = TestLoss(width: 512, seed: 1)
        let workspace = tower.makeWorkspace()
        let forward = try milliseconds(15) { _ = try tower.embed(pixels, workspace: workspace) }
        report("image, one thread", forward, flops: c.configuration.forwardFLOPs)
        let backward = try milliseconds(10) {
            _ = try tower.gradient(pixels, workspace: workspace, dEmbedding: loss.gradient)
        }
        report("gradient, one thread", backward, flops: c.configuration.gradientFLOPs)

        for gradients in [false, true] {
            let start = ContinuousClock.now
            let rounds = 8
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<2 {
                    group.addTask {
                        let workspace = tower.makeWorkspace()
                        for _ in 0..<rounds {
                            if gradients {
                                _ = try tower.gradient(
                                    pixels, workspace: workspace, dEmbedding: loss.gradient)
                            } else {
                                _ = try tower.embed(pixels, workspace: workspace)
                            }
                        }
                    }
                }
                try await group.waitForAll()
            }
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            print(
                "timing: \(gradients ? "gradient" : "image"), two threads: "
                    + "\(Double(2 * rounds) / seconds) a second")
        }
    }

    @Test func textBase() throws {
        let configuration = TextConfiguration(
            vocabularySize: 49_408, width: 512, layers: 12, heads: 8, mlpWidth: 2048,
            contextLength: 77, activation: .quickGELU, eps: 1e-5, pooling: .firstEnd,
            startToken: 49_406, endToken: 49_407, padToken: 49_407, projection: 512)
        var random = TowerRandom(1)
        let weights = TextWeights(
            tokenEmbedding: random.floats(configuration.vocabularySize * 512),
            positionEmbedding: random.floats(77 * 512),
            layers: randomLayers(12, width: 512, mlp: 2048, &random),
            finalNormWeight: random.floats(512), finalNormBias: random.floats(512),
            projection: random.floats(512 * 512))
        let tower = try CLIPTextTower(configuration: configuration, weights: weights)
        let workspace = tower.makeWorkspace()
        for count in [8, 77] {
            let tokens =
                [49_406] + [Int32](repeating: 320, count: count - 2) + [configuration.endToken]
            let times = try milliseconds(20) {
                _ = try tower.embed(tokens: tokens, workspace: workspace)
            }
            report(
                "text of \(count) tokens, one thread", times,
                flops: configuration.forwardFLOPs(tokens: count))
        }
    }
}
