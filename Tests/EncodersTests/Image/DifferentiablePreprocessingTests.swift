import Encoders
import Glibc
import Guidance
import Testing

@Suite struct DifferentiablePreprocessingTests {
    private func relativeError(_ values: some Sequence<Float>, _ expected: [Float]) -> Double {
        var (difference, norm) = (0.0, 0.0)
        for (value, expected) in zip(values, expected) {
            difference += Double(value - expected) * Double(value - expected)
            norm += Double(expected) * Double(expected)
        }
        return (difference / max(norm, 1e-30)).squareRoot()
    }

    /// Values and gradients of torch (double precision) through autograd.
    @Test func equalsTorch() throws {
        let numbers = try ImageFixtures.floats("differentiable.bin")
        var position = 0
        for row in try ImageFixtures.table("differentiable.tsv") {
            let n = row[1...].compactMap { Int($0) }
            try #require(n.count == 7)
            let (height, width, size, seed) = (n[0], n[1], n[2], n[3])
            let preprocessing = try ImageFixtures.configuration(row[0], size: size)
            var expectedPreprocessing = preprocessing
            if row[0] == "transformers-padded" {
                // Square here, unlike in the table of resizes.
                expectedPreprocessing.width = expectedPreprocessing.height
            }
            let map = try ResampleMap(
                expectedPreprocessing, height: height, width: width)
            let image = ImageFixtures.unit(3 * height * width, seed: seed)
            let pixels = map.forward(image)
            try #require(pixels.count == n[4], "\(row)")
            let expected = Array(numbers[position..<position + n[4]])
            position += n[4]
            let valueError = relativeError(pixels, expected)
            #expect(valueError < 1e-5, "\(row): values off by \(valueError)")

            let dPixels = ImageFixtures.unit(pixels.count, seed: seed + 1).map { $0 - 0.5 }
            let dImage = map.pullback(dPixels)
            let expectedGradient = Array(numbers[position..<position + n[6]])
            position += n[6]
            let sampled = stride(from: 0, to: dImage.count, by: n[5]).map { dImage[$0] }
            try #require(sampled.count == n[6])
            let gradientError = relativeError(sampled, expectedGradient)
            #expect(gradientError < 1e-5, "\(row): gradient off by \(gradientError)")
        }
        #expect(position == numbers.count)
    }

    /// ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ for the linear part A of the map.
    @Test func backwardIsTheTranspose() throws {
        var random = ImageRandom(state: 7)
        let names = [
            "transformers", "open_clip", "transformers-padded", "transformers-cropped",
            "transformers-squash", "transformers-bounded", "transformers-lanczos",
            "transformers-nearest", "transformers-unresized", "open_clip-longest",
            "open_clip-longest-fill", "open_clip-squash", "open_clip-cover",
        ]
        for trial in 0..<150 {
            let name = names[trial % names.count]
            let height = Int.random(in: 1...90, using: &random)
            let width = Int.random(in: 1...90, using: &random)
            let size = Int.random(in: 1...40, using: &random)
            let preprocessing = try ImageFixtures.configuration(name, size: size)
            let map: ResampleMap
            do {
                map = try ResampleMap(preprocessing, height: height, width: width)
            } catch {
                continue  // resized to nothing
            }
            let x = ImageFixtures.unit(3 * height * width, seed: trial).map { $0 - 0.5 }
            let y = ImageFixtures.unit(
                3 * map.output.area, seed: trial + 1
            ).map { $0 - 0.5 }
            let constant = map.forward([Float](repeating: 0, count: x.count))
            let image = zip(map.forward(x), constant).map { Double($0 - $1) }
            let left = zip(image, y).reduce(0) { $0 + $1.0 * Double($1.1) }
            let right = zip(x, map.pullback(y)).reduce(0) { $0 + Double($1.0) * Double($1.1) }
            let scale =
                (image.reduce(0) { $0 + $1 * $1 }).squareRoot() * Double(y.count).squareRoot()
            #expect(
                abs(left - right) <= 2e-6 * max(scale, 1),
                "\(name) \(height)×\(width) → \(size): \(left) against \(right)")
        }
    }

    /// Smooth images come out as the byte path has them, up to its rounding.
    @Test func staysCloseToTheBytePath() throws {
        let (height, width) = (75, 52)
        var bytes: [UInt8] = []
        for y in 0..<height {
            for x in 0..<width { bytes += [UInt8(40 + x * 2), UInt8(200 - y), UInt8(30 + x + y)] }
        }
        let image = try DecodedImage(rgb: bytes, height: height, width: width)
        for profile in ImagePreprocessing.Profile.allCases {
            for size in [20, 64, 90] {
                let preprocessing = ImagePreprocessing(profile: profile, size: size)
                let map = try ResampleMap(
                    preprocessing, height: height, width: width)
                let floats = map.forward(image.unitPlanes(profile))
                let rounded = try preprocessing.pixels(image)
                let worst = zip(floats, rounded).map { abs($0 - $1) }.max() ?? 1
                // One step of a byte is 1/255/std = 0.015.
                #expect(worst < 0.016, "\(profile) \(size): \(worst)")
            }
        }
    }

    @Test func takesSidesOfThousands() throws {
        for (height, width) in [(1, 20_000), (20_000, 1), (4_000, 3)] {
            let map = try ResampleMap(
                ImagePreprocessing(profile: .transformersPIL, size: 32), height: height,
                width: width)
            let flat = [Float](repeating: 0.25, count: 3 * height * width)
            let pixels = map.forward(flat)
            for channel in 0..<3 {
                let expected =
                    (0.25 - ImagePreprocessing.clipMean[channel])
                    / ImagePreprocessing.clipStd[channel]
                #expect(
                    pixels[channel * 1024..<(channel + 1) * 1024].allSatisfy {
                        abs($0 - expected) < 1e-5
                    })
            }
            // A constant image moved by 1 moves every pixel by 1/std.
            let gradient = map.pullback([Float](repeating: 1, count: pixels.count))
            let sum = gradient.reduce(0) { $0 + Double($1) }
            let expected = ImagePreprocessing.clipStd.reduce(0) { $0 + 1024 / Double($1) }
            #expect(abs(sum - expected) < 1e-3 * expected)
        }
    }

    @Test func refusesImpossibleSizes() {
        for (height, width) in [(0, 5), (5, -1), (.max, 3)] {
            #expect(throws: EncoderError.self) {
                try ResampleMap(
                    ImagePreprocessing(profile: .openCLIP, size: 32), height: height, width: width)
            }
        }
    }
}
