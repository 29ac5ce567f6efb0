import Encoders
import Guidance
import Testing

/// Resamplings mean the composition of their steps, and go back by the exact transpose.
@Suite struct ResampleMapTests {
    private struct Case: CustomTestStringConvertible {
        let resampling: Resampling
        /// The same by one map a step.
        let steps: [Resampling]
        let testDescription: String
    }

    private static let filters: [ResizeFilter] =
        [.area] + Interpolation.allCases.map { .interpolation($0) }

    /// A random description with any of the steps.
    private static func random(_ random: inout SplitMix64) -> Case {
        let input = ImageShape(
            channels: Int.random(in: 1...4, using: &random),
            height: Int.random(in: 1...40, using: &random),
            width: Int.random(in: 1...40, using: &random))
        var whole = Resampling(input)
        var steps: [Resampling] = []
        var text = "\(input.channels)×\(input.height)×\(input.width)"
        func side(_ side: Int) -> Int { Int.random(in: 1...max(2 * side, 2), using: &random) }
        func last() -> Resampling { Resampling(steps.last?.output ?? input) }
        if Bool.random(using: &random) {
            let (height, width) = (side(input.height), side(input.width))
            let top = Int.random(in: -height / 2...input.height - 1, using: &random)
            let left = Int.random(in: -width / 2...input.width - 1, using: &random)
            whole = whole.crop(top: top, left: left, height: height, width: width)
            steps.append(last().crop(top: top, left: left, height: height, width: width))
            text += " crop \(top) \(left) \(height)×\(width)"
        }
        let filter = filters[Int.random(in: 0..<filters.count, using: &random)]
        let (height, width) = (side(20), side(20))
        whole = whole.resize(height: height, width: width, filter)
        steps.append(last().resize(height: height, width: width, filter))
        text += " resize \(height)×\(width) \(filter)"
        if Bool.random(using: &random) {
            let (outHeight, outWidth) = (side(height), side(width))
            let top = Int.random(in: -outHeight...height, using: &random)
            let left = Int.random(in: -outWidth...width, using: &random)
            whole = whole.crop(
                top: top, left: left, height: outHeight, width: outWidth, fill: 0.25)
            // A step of its own pads with zeros; the same with the fill comes from a resize to
            // the same size.
            let same = last().resize(height: height, width: width, .interpolation(.nearest))
            steps.append(
                same.crop(top: top, left: left, height: outHeight, width: outWidth, fill: 0.25))
            text += " then \(top) \(left) \(outHeight)×\(outWidth)"
        }
        if Bool.random(using: &random) {
            let gain = random.vector(input.channels)
            let bias = random.vector(input.channels)
            whole = whole.normalize(gain: gain, bias: bias)
            steps.append(last().normalize(gain: gain, bias: bias))
            text += " normalised"
        }
        return Case(resampling: whole, steps: steps, testDescription: text)
    }

    @Test func onePassEqualsItsSteps() {
        var random = SplitMix64(state: 11)
        for trial in 0..<300 {
            let c = Self.random(&random)
            let map = ResampleMap(c.resampling)
            let x = random.vector(map.input.count)
            let observed = map.forward(x)
            let expected = c.steps.reduce(x) { ResampleMap($1).forward($0) }
            #expect(observed.count == map.output.count)
            let error = zip(observed, expected).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
            #expect(error < 2e-5, "seed 11, trial \(trial): \(c)")
        }
    }

    /// ⟨A x, y⟩ = ⟨x, Aᵀ y⟩ for the linear part A.
    @Test func pullbackIsTheTranspose() {
        var random = SplitMix64(state: 12)
        for trial in 0..<300 {
            let c = Self.random(&random)
            let map = ResampleMap(c.resampling)
            expectTranspose(map, &random, "seed 12, trial \(trial): \(c)")
        }
    }

    @Test func areaIsTheMeanOverWindows() {
        let map = ResampleMap(
            Resampling(ImageShape(channels: 1, height: 1, width: 5))
                .resize(height: 1, width: 3, .area))
        // torch.nn.functional.adaptive_avg_pool1d([1, 2, 4, 8, 16], 3)
        #expect(worst(map.forward([1, 2, 4, 8, 16]), [1.5, 14.0 / 3, 12]) < 1e-7)
    }

    @Test func compositionsGoBackInTurn() {
        var random = SplitMix64(state: 13)
        let first = ResampleMap(
            Resampling(ImageShape(height: 9, width: 7))
                .resize(height: 12, width: 5, .interpolation(.bicubic)))
        let second = ResampleMap(
            Resampling(first.output).crop(top: 2, left: 1, height: 6, width: 3)
                .resize(height: 4, width: 4, .area))
        let both = first.then(second)
        let x = random.vector(both.input.count)
        #expect(both.forward(x) == second.forward(first.forward(x)))
        let dy = random.vector(both.output.count)
        #expect(both.pullback(dy) == first.pullback(second.pullback(dy)))
        #expect(both.pullback(dy, at: x) == both.pullback(dy))
        var dx = random.vector(both.input.count)
        let before = dx
        both.addPullback(dy, at: x, to: &dx)
        #expect(dx == zip(before, both.pullback(dy)).map { $0 + $1 })
    }

    @Test func whatNoOutputSeesHasNoGradient() {
        let map = ResampleMap(
            Resampling(ImageShape(channels: 1, height: 4, width: 4))
                .crop(top: 1, left: 2, height: 2, width: 2)
                .resize(height: 5, width: 5, .interpolation(.bilinear)))
        let dx = map.pullback([Float](repeating: 1, count: 25))
        for (index, value) in dx.enumerated() {
            #expect((value != 0) == ((1...2).contains(index / 4) && index % 4 >= 2))
        }
    }
}

/// ⟨J·v, y⟩ = ⟨v, Jᵀ·y⟩ for an affine map, whose J is the same everywhere.
func expectTranspose(_ map: some AffineMap, _ random: inout SplitMix64, _ name: String) {
    let v = random.vector(map.input.count)
    let y = random.vector(map.output.count)
    let constant = map.forward([Float](repeating: 0, count: map.input.count))
    let image = zip(map.forward(v), constant).map { Double($0) - Double($1) }
    let left = zip(image, y).reduce(0) { $0 + $1.0 * Double($1.1) }
    let right = zip(v, map.pullback(y)).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    let scale =
        image.reduce(0) { $0 + $1 * $1 }.squareRoot() * Double(y.count).squareRoot()
    #expect(abs(left - right) <= 2e-6 * max(scale, 1), "\(name): \(left) against \(right)")
}
