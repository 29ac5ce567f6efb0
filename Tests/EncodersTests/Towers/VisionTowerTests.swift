import Encoders
import Testing

@Suite struct VisionTowerTests {
    @Test(arguments: VisionCase.all) func matchesThePlainTower(c: VisionCase) throws {
        let weights = c.weights(seed: 11)
        let tower = try CLIPImageTower(configuration: c.configuration, weights: weights)
        let workspace = tower.makeWorkspace()
        for seed in 1...2 {
            let pixels = c.pixels(seed: seed)
            let expected = ReferenceTower.embedImage(
                pixels.map(Double.init), c.configuration, weights)
            let embedding = try tower.embed(pixels, workspace: workspace)
            #expect(embedding.count == tower.embeddingWidth)
            #expect(relativeError(embedding, expected.embedding) < 1e-5)
            let states = try tower.hiddenStates(pixels, workspace: workspace)
            #expect(states.count == c.configuration.layers + 1)
            for (state, plain) in zip(states, expected.states) {
                #expect(relativeError(state, plain.flatMap { $0 }) < 1e-5)
            }
        }
    }

    /// Against central differences of the plain tower in double precision, whose own error is far
    /// below the tolerance: single pixels, and whole directions, which see every pixel.
    @Test(arguments: VisionCase.all) func gradientMatchesFiniteDifferences(c: VisionCase) throws {
        let weights = c.weights(seed: 5)
        let tower = try CLIPImageTower(configuration: c.configuration, weights: weights)
        let pixels = c.pixels(seed: 3)
        let loss = TestLoss(width: tower.embeddingWidth, seed: 4)
        let result = try tower.gradient(
            pixels, workspace: tower.makeWorkspace(), dEmbedding: loss.gradient)
        #expect(result.dPixels.count == pixels.count)

        func slope(_ direction: [Double]) -> Double {
            func at(_ step: Double) -> Double {
                let moved = zip(pixels, direction).map { Double($0) + step * $1 }
                return loss.value(
                    ReferenceTower.embedImage(moved, c.configuration, weights).embedding)
            }
            let h = 1e-4
            return (at(h) - at(-h)) / (2 * h)
        }

        let norm = result.dPixels.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
        let largest = result.dPixels.reduce(0.0) { max($0, Double(abs($1))) }
        #expect(largest > 0)
        var random = TowerRandom(9)
        for _ in 0..<12 {
            let index = Int.random(in: 0..<pixels.count, using: &random)
            var direction = [Double](repeating: 0, count: pixels.count)
            direction[index] = 1
            #expect(abs(slope(direction) - Double(result.dPixels[index])) < 1e-4 * largest)
        }
        for _ in 0..<3 {
            let direction = random.floats(pixels.count).map(Double.init)
            let length = direction.reduce(0) { $0 + $1 * $1 }.squareRoot()
            let along = zip(direction, result.dPixels).reduce(0.0) { $0 + $1.0 * Double($1.1) }
            #expect(abs(slope(direction) - along) < 1e-4 * norm * length / 10)
        }
    }

    @Test func pixelsThatNoPatchSeesHaveNoGradient() throws {
        let c = VisionCase.all[3]
        let size = c.configuration.imageSize
        let seen = c.configuration.grid * c.configuration.patchSize
        let tower = try c.tower()
        let loss = TestLoss(width: tower.embeddingWidth, seed: 4)
        let result = try tower.gradient(
            c.pixels(seed: 1), workspace: tower.makeWorkspace(), dEmbedding: loss.gradient)
        for (index, value) in result.dPixels.enumerated() {
            let isSeen = index % size < seen && index / size % size < seen
            #expect((value != 0) == isSeen)
        }
    }

    @Test(arguments: VisionCase.all) func everyPathGivesTheSameBits(c: VisionCase) throws {
        let tower = try c.tower()
        let loss = TestLoss(width: tower.embeddingWidth, seed: 4)
        let images = (0..<3).map { c.pixels(seed: $0) }
        let fresh = try images.map { try tower.embed($0, workspace: tower.makeWorkspace()) }
        let gradients = try images.map {
            try tower.gradient($0, workspace: tower.makeWorkspace(), dEmbedding: loss.gradient)
        }
        // One workspace, other images and other operations in between.
        let workspace = tower.makeWorkspace()
        for index in [2, 0, 1, 0, 2] {
            #expect(try tower.embed(images[index], workspace: workspace) == fresh[index])
            let again = try tower.gradient(
                images[index], workspace: workspace, dEmbedding: loss.gradient)
            #expect(again.embedding == fresh[index])
            #expect(again.dPixels == gradients[index].dPixels)
            _ = try tower.hiddenStates(images[(index + 1) % 3], workspace: workspace)
        }
        #expect(Set(fresh).count == 3)
    }

    @Test func threadsDoNotChangeABit() async throws {
        let c = VisionCase.all[0]
        let tower = try c.tower()
        let loss = TestLoss(width: tower.embeddingWidth, seed: 4)
        let images = (0..<6).map { c.pixels(seed: $0) }
        let alone = try images.map {
            try tower.gradient($0, workspace: tower.makeWorkspace(), dEmbedding: loss.gradient)
        }
        for _ in 0..<4 {
            try await withThrowingTaskGroup(of: (Int, [Float], [Float]).self) { group in
                for (index, pixels) in images.enumerated() {
                    group.addTask {
                        let result = try tower.gradient(
                            pixels, workspace: tower.makeWorkspace(), dEmbedding: loss.gradient)
                        return (index, result.embedding, result.dPixels)
                    }
                }
                for try await (index, embedding, dPixels) in group {
                    #expect(embedding == alone[index].embedding)
                    #expect(dPixels == alone[index].dPixels)
                }
            }
        }
    }

    @Test(arguments: VisionCase.all) func gradientsTakeTheStatedMemory(c: VisionCase) throws {
        let workspace = try c.tower().makeWorkspace(capacity: 3)
        let before = workspace.bytes
        workspace.prepareForGradients()
        let stated = CLIPImageWorkspace.gradientBytes(
            c.configuration, precision: .f32, capacity: workspace.capacity, recomputes: false)
        // Patches, norms' statistics and rounding up to whole groups come on top.
        let rows = workspace.capacity * c.configuration.tokens
        let patch = 3 * c.configuration.patchSize * c.configuration.patchSize
        let extra = rows * 4 * (2 * c.configuration.width + patch + 64) + 65_536
        #expect((stated - extra...stated + extra).contains(workspace.bytes - before))
    }

    @Test func operationsOfTheUsualTowersAreCounted() {
        let base = VisionConfiguration(
            width: 768, layers: 12, heads: 12, mlpWidth: 3072, patchSize: 32, imageSize: 224,
            activation: .quickGELU, eps: 1e-5, projection: 512)
        // 8.7 GFLOP for the whole tower (4.4 G multiply-adds), less most of one layer in twelve.
        #expect((8.0e9...8.4e9).contains(Double(base.forwardFLOPs)))
        #expect(base.gradientFLOPs > 2 * base.forwardFLOPs)
        #expect(Double(base.gradientFLOPs) < 2.1 * Double(base.forwardFLOPs))
        func mebibytes(_ precision: Precision, recomputes: Bool) -> Int {
            CLIPImageWorkspace.gradientBytes(
                base, precision: precision, capacity: 1, recomputes: recomputes) >> 20
        }
        #expect((15...18).contains(mebibytes(.f32, recomputes: false)))
        #expect((9...12).contains(mebibytes(.bf16, recomputes: false)))
        #expect(mebibytes(.f32, recomputes: true) < 8)
    }

    @Test func wrongSizesAreErrorsThatNameTheTensor() throws {
        let c = VisionCase.all[0]
        let good = c.weights(seed: 1)
        func failure(_ change: (inout VisionWeights, inout VisionConfiguration) -> Void) -> String {
            var weights = good
            var configuration = c.configuration
            change(&weights, &configuration)
            do {
                _ = try CLIPImageTower(configuration: configuration, weights: weights)
                return "none"
            } catch {
                return error.description
            }
        }
        #expect(failure { _, _ in } == "none")
        #expect(failure { w, _ in w.classEmbedding.removeLast() }.contains("class embedding"))
        #expect(failure { w, _ in w.positionEmbedding.append(0) }.contains("position embedding"))
        #expect(failure { w, _ in w.projection = nil }.contains("projection"))
        #expect(failure { w, _ in w.layers[2].fc1Bias = [] }.contains("layer 2: fc1 bias"))
        #expect(failure { w, _ in w.layers.removeLast() }.contains("layers"))
        #expect(failure { _, c in c.heads = 4 }.contains("heads"))
        #expect(failure { _, c in c.heads = 0 }.contains("heads"))
        #expect(failure { _, c in c.width = -30 }.contains("width"))
        #expect(failure { _, c in c.mlpWidth = .max }.contains("mlp width"))
        #expect(failure { _, c in c.patchSize = 0 }.contains("image size"))
        #expect(failure { _, c in c.imageSize = .max }.contains("image size"))
        #expect(failure { _, c in c.projection = .max }.contains("projection"))
    }

    @Test func wrongPixelCountsAreErrors() throws {
        let tower = try VisionCase.all[0].tower()
        let workspace = tower.makeWorkspace()
        for count in [0, 1, 3 * 35 * 35 - 1, 3 * 35 * 35 + 1] {
            #expect(throws: EncoderError.self) {
                try tower.embed([Float](repeating: 0, count: count), workspace: workspace)
            }
        }
    }
}
