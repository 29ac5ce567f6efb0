import Encoders
import Guidance
import Testing

/// Augmentations beside torch's and torchvision's own, and their transposes over random shapes.
@Suite struct AugmentationTests {
    private func map(_ c: SteeringFixtures.Case) throws -> any DifferentiableMap {
        let shape = c.shape("shape")
        let p = c.numbers("parameters")
        switch c.text("name") {
        case "flip": return FlipMap(shape)
        case "grey": return ColourMap.grey(shape)
        case "brightness": return ColourMap.brightness(shape, by: Float(p[0]))
        case "contrast": return ContrastMap(shape, by: Float(p[0]))
        case "saturation": return ColourMap.saturation(shape, by: Float(p[0]))
        case "hue": return HueMap(shape, by: Float(p[0]))
        case "warp": return WarpMap(shape, degrees: p[0], dx: p[1], dy: p[2])
        case "area":
            return ResampleMap(
                Resampling(shape).resize(height: Int(p[0]), width: Int(p[0]), .area))
        case "bicubic":
            return ResampleMap(
                Resampling(shape).resize(
                    height: Int(p[0]), width: Int(p[0]), .interpolation(.bicubic)))
        case "cut":
            let n = p.map { Int($0) }
            return ResampleMap(
                Resampling(shape).crop(top: n[0], left: n[1], height: n[2], width: n[3])
                    .resize(height: n[4], width: n[4], .area))
        case let name:
            Issue.record("\(name) is not known")
            return FlipMap(shape)
        }
    }

    @Test func mapsEqualTorch() throws {
        var seen: Set<String> = []
        for c in try SteeringFixtures.cases("map") {
            let map = try map(c)
            let name = "\(c.text("name")) \(c.numbers("parameters")) of \(c.numbers("shape"))"
            let x = c.floats("x")
            #expect(map.output == c.shape("output"), "\(name)")
            #expect(worst(map.forward(x), c.numbers("y")) < 2e-6, "\(name)")
            #expect(worst(map.pullback(c.floats("dy"), at: x), c.numbers("dx")) < 2e-6, "\(name)")
            seen.insert(c.text("name"))
        }
        #expect(seen.count == 10)
    }

    @Test func pullbacksAreTransposes() {
        var random = SplitMix64(state: 21)
        for trial in 0..<60 {
            let shape = ImageShape(
                height: Int.random(in: 1...24, using: &random),
                width: Int.random(in: 1...24, using: &random))
            let name = "seed 21, trial \(trial)"
            expectTranspose(FlipMap(shape), &random, "flip, \(name)")
            expectTranspose(
                ColourMap(shape, matrix: random.vector(9), constant: random.vector(3)), &random,
                "colour, \(name)")
            expectTranspose(
                ContrastMap(shape, by: Float.random(in: 0...2, using: &random)), &random,
                "contrast, \(name)")
            expectTranspose(
                WarpMap(
                    shape, degrees: .random(in: -180...180, using: &random),
                    dx: .random(in: -5...5, using: &random),
                    dy: .random(in: -5...5, using: &random)), &random, "warp, \(name)")
            expectTranspose(
                OffsetMap.noise(shape, deviation: 0.1, seed: UInt64(trial)), &random,
                "noise, \(name)")
        }
    }

    @Test func clampingHoldsGradientsBack() {
        let shape = ImageShape(channels: 1, height: 1, width: 5)
        let map = ClampMap(shape)
        let x: [Float] = [-0.5, 0, 0.5, 1, 1.5]
        #expect(map.forward(x) == [0, 0, 0.5, 1, 1])
        #expect(map.pullback([1, 2, 3, 4, 5], at: x) == [0, 2, 3, 4, 0])
        // Behind another map the values that it clamps are made again.
        let shifted = OffsetMap(shape, by: 1).then(map)
        #expect(shifted.pullback([1, 2, 3, 4, 5], at: x) == [1, 2, 0, 0, 0])
    }

    @Test func noiseComesFromItsSeed() {
        let shape = ImageShape(height: 40, width: 40)
        let zero = [Float](repeating: 0, count: shape.count)
        let noise = OffsetMap.noise(shape, deviation: 0.5, seed: 3).forward(zero)
        #expect(noise == OffsetMap.noise(shape, deviation: 0.5, seed: 3).forward(zero))
        #expect(noise != OffsetMap.noise(shape, deviation: 0.5, seed: 4).forward(zero))
        let mean = noise.reduce(0, +) / Float(noise.count)
        let square = noise.reduce(0) { $0 + $1 * $1 } / Float(noise.count)
        #expect(abs(mean) < 0.03 && abs(square.squareRoot() - 0.5) < 0.02)
    }
}
