import Encoders
import Glibc

/// How cutouts are drawn for a step: a named recipe and its numbers. The draw depends on the seed, the
/// step and the item alone.
public enum CutoutRecipe: Sendable, Equatable {
    /// Random squares between the model's size and the shorter side, pooled to the model's size
    /// (K. Crowson, `clip_sample.py` of v-diffusion-pytorch; 16 cutouts, power 1). diffusers'
    /// `clip_guided_stable_diffusion.py` has the same with 4.
    case squares(count: Int, power: Double)
    /// Disco Diffusion's `MakeCutoutsDango`.
    case disco(Disco)

    public static let crowson = CutoutRecipe.squares(count: 16, power: 1)
    public static let diffusers = CutoutRecipe.squares(count: 4, power: 1)

    public struct Disco: Sendable, Equatable {
        /// Views of the whole picture, letterboxed: up to four of them are plain, grey, flipped and
        /// grey and flipped; more are copies.
        public var overview: Int
        public var inner: Int
        public var power: Double
        /// Share of the inner cutouts that are grey.
        public var grey: Double
        /// How often all are drawn; the losses of the batches are averaged.
        public var batches: Int
        public var augments: Bool

        public init(
            overview: Int, inner: Int, power: Double = 1, grey: Double = 0, batches: Int = 4,
            augments: Bool = true
        ) {
            self.overview = overview
            self.inner = inner
            self.power = power
            self.grey = grey
            self.batches = batches
            self.augments = augments
        }

        /// The standard schedules at a timestep of 0…999, the noisiest the greatest.
        public static func standard(timestep: Int) -> Disco {
            let isEarly = 1000 - (timestep + 1) < 400
            return Disco(
                overview: isEarly ? 12 : 4, inner: isEarly ? 4 : 12, grey: isEarly ? 0.2 : 0)
        }
    }

    /// The cutouts of one picture.
    ///
    /// - Parameters:
    ///   - size: the tower's input, pixels.
    /// - Throws: `GuidanceError.parameter` for no cutouts at all, more than 1024, or a power that is
    ///   no positive number.
    public func draw(
        height: Int, width: Int, size: Int, seed: UInt64, step: Int = 0, item: Int = 0
    ) throws(GuidanceError) -> [Cutout] {
        precondition(height > 0 && width > 0 && size > 0, "an empty picture")
        var random = SeededRandom(seed, step, item)
        switch self {
        case .squares(let count, let power):
            try CutoutRecipe.check(count: count, power: power)
            return (0..<count).map { _ in
                CutoutRecipe.square(
                    height, width, size, power, steps: [.resize(.area)], &random)
            }
        case .disco(let disco):
            let (total, overflow) = max(disco.overview, 0).addingReportingOverflow(
                max(disco.inner, 0))
            let (all, tooMany) = total.multipliedReportingOverflow(by: max(disco.batches, 0))
            try CutoutRecipe.check(
                count: overflow || tooMany ? .max : all, power: disco.power)
            return (0..<disco.batches).flatMap { _ in
                CutoutRecipe.batch(disco, height, width, size, &random)
            }
        }
    }

    private static func check(count: Int, power: Double) throws(GuidanceError) {
        guard (1...1024).contains(count) else {
            throw .parameter(field: "cutouts.n", expected: "1…1024 cutouts", actual: "\(count)")
        }
        guard power > 0, power.isFinite else {
            throw .parameter(
                field: "cutouts.cut_pow", expected: "a positive number", actual: "\(power)")
        }
    }

    /// ⌊uᵖ·(max − min) + min⌋ at a uniform place, with max the shorter side and min the model's size if
    /// the picture has it.
    private static func square(
        _ height: Int, _ width: Int, _ size: Int, _ power: Double, steps: [Cutout.Step],
        _ random: inout SeededRandom
    ) -> Cutout {
        let greatest = min(height, width)
        let least = min(greatest, size)
        let side = Int(pow(random.uniform(), power) * Double(greatest - least) + Double(least))
        let left = random.integer(through: width - side)
        let top = random.integer(through: height - side)
        return Cutout(top: top, left: left, height: side, width: side, steps: steps)
    }

    private static func batch(
        _ disco: Disco, _ height: Int, _ width: Int, _ size: Int, _ random: inout SeededRandom
    ) -> [Cutout] {
        let resize = Cutout.Step.resize(.interpolation(.bicubic))
        let shorter = min(height, width)
        let (across, down) = ((height - shorter) / 2, (width - shorter) / 2)
        let whole = Cutout(
            top: -down, left: -across, height: height + 2 * down, width: width + 2 * across,
            steps: [resize])
        var cutouts: [Cutout] = []
        for index in 0..<max(disco.overview, 0) {
            var view = whole
            if disco.overview <= 4 {
                if index >= 2 { view.steps.append(.flip) }
                if index % 2 == 1 { view.steps.append(.grey) }
            }
            cutouts.append(view)
        }
        for index in 0..<max(disco.inner, 0) {
            // The first is grey whatever the share, as there.
            let isGrey = index <= Int(disco.grey * Double(disco.inner))
            cutouts.append(
                square(
                    height, width, size, disco.power, steps: isGrey ? [.grey, resize] : [resize],
                    &random))
        }
        guard disco.augments else { return cutouts }
        // One draw for all cutouts of a batch, as torchvision does for a tensor of several images;
        // only noise is every value's own.
        let flips = random.uniform() < 0.5
        let degrees = random.uniform(-10, 10)
        let reach = 0.05 * Double(size)
        let dx = random.uniform(-reach, reach).rounded(.toNearestOrEven)
        let dy = random.uniform(-reach, reach).rounded(.toNearestOrEven)
        let greys = random.uniform() < 0.1
        var jitter: [Cutout.Step] = [
            .brightness(Float(random.uniform(0.9, 1.1))),
            .contrast(Float(random.uniform(0.9, 1.1))),
            .saturation(Float(random.uniform(0.9, 1.1))), .hue(Float(random.uniform(-0.1, 0.1))),
        ]
        for index in stride(from: jitter.count - 1, to: 0, by: -1) {
            jitter.swapAt(index, random.integer(through: index))
        }
        return cutouts.map { cutout in
            var augmented = cutout
            func noise() -> Cutout.Step { .noise(deviation: 0.01, seed: random.next()) }
            augmented.steps +=
                (flips ? [.flip] : []) + [noise(), .affine(degrees: degrees, dx: dx, dy: dy)]
            augmented.steps += [noise()] + (greys ? [.grey] : []) + [noise()] + jitter
            return augmented
        }
    }
}
