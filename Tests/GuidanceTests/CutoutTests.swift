import Encoders
import Guidance
import Testing

/// Cutouts come from their seed alone, lie where their recipe says, and go back to the picture.
@Suite struct CutoutTests {
    private static let recipes: [CutoutRecipe] = [
        .crowson, .diffusers, .squares(count: 5, power: 0.3),
        .disco(.standard(timestep: 900)), .disco(.standard(timestep: 100)),
        .disco(.init(overview: 3, inner: 2, batches: 2, augments: false)),
    ]

    @Test(arguments: recipes) func theSameSeedDrawsTheSame(recipe: CutoutRecipe) throws {
        func draw(_ seed: UInt64, step: Int = 0, item: Int = 0) throws -> [Cutout] {
            try recipe.draw(
                height: 300, width: 400, size: 224, seed: seed, step: step, item: item)
        }
        #expect(try draw(7) == draw(7))
        #expect(try draw(7) != draw(8))
        #expect(try draw(7) != draw(7, step: 1))
        #expect(try draw(7) != draw(7, item: 1))
        #expect(try draw(7, step: 1) != draw(7, item: 1))
    }

    @Test func squaresLieInThePicture() throws {
        for (height, width, size) in [(300, 400, 224), (64, 31, 224), (1, 1, 8), (500, 224, 224)] {
            let shorter = min(height, width)
            var sides: Set<Int> = []
            for seed in 0..<20 as Range<UInt64> {
                let cutouts = try CutoutRecipe.crowson.draw(
                    height: height, width: width, size: size, seed: seed)
                #expect(cutouts.count == 16)
                for cutout in cutouts {
                    #expect(cutout.height == cutout.width)
                    #expect((min(size, shorter)...shorter).contains(cutout.height))
                    #expect(cutout.top >= 0 && cutout.top + cutout.height <= height)
                    #expect(cutout.left >= 0 && cutout.left + cutout.width <= width)
                    #expect(cutout.steps == [.resize(.area)])
                    sides.insert(cutout.height)
                }
            }
            #expect(sides.count > (shorter - min(size, shorter)) / 4)
        }
        #expect(try CutoutRecipe.diffusers.draw(height: 9, width: 9, size: 4, seed: 1).count == 4)
    }

    @Test func discoSeesTheWholeAndTheInside() throws {
        let plain = CutoutRecipe.disco(.init(overview: 4, inner: 3, batches: 1, augments: false))
        let cutouts = try plain.draw(height: 30, width: 51, size: 16, seed: 3)
        #expect(cutouts.count == 7)
        // Padded above and below by ⌊(51 − 30)/2⌋.
        for view in cutouts[..<4] {
            #expect((view.top, view.left) == (-10, 0))
            #expect((view.height, view.width) == (50, 51))
        }
        let resize = Cutout.Step.resize(.interpolation(.bicubic))
        #expect(
            cutouts.map(\.steps) == [
                [resize], [resize, .grey], [resize, .flip], [resize, .flip, .grey],
                [.grey, resize], [resize], [resize],
            ])
        let copies = CutoutRecipe.disco(.init(overview: 5, inner: 0, batches: 1, augments: false))
        #expect(
            try copies.draw(height: 30, width: 30, size: 16, seed: 3).map(\.steps)
                == [[Cutout.Step]](repeating: [resize], count: 5))
        let early = CutoutRecipe.Disco.standard(timestep: 999)
        #expect((early.overview, early.inner, early.grey) == (12, 4, 0.2))
        #expect(CutoutRecipe.Disco.standard(timestep: 600) == early)
        let late = CutoutRecipe.Disco.standard(timestep: 599)
        #expect((late.overview, late.inner, late.grey) == (4, 12, 0))
    }

    /// A batch shares what torchvision draws once for a tensor; noise is each cutout's own.
    @Test func discoAugmentsABatchAlike() throws {
        let cutouts = try CutoutRecipe.disco(.standard(timestep: 999)).draw(
            height: 64, width: 64, size: 32, seed: 5)
        #expect(cutouts.count == 64)
        var seeds: Set<UInt64> = []
        for batch in 0..<4 {
            let own = cutouts[batch * 16..<(batch + 1) * 16]
            let shared = own.map { cutout in
                cutout.steps.filter { step in
                    switch step {
                    case .affine, .brightness, .contrast, .saturation, .hue: true
                    default: false
                    }
                }
            }
            #expect(shared.allSatisfy { $0 == shared[0] } && shared[0].count == 5)
            for step in own.flatMap(\.steps) {
                if case .noise(let deviation, let seed) = step {
                    #expect(deviation == 0.01)
                    seeds.insert(seed)
                }
            }
        }
        #expect(seeds.count == 64 * 3)
    }

    @Test func namesWhatCannotBeDrawn() {
        let wrong: [(CutoutRecipe, String)] = [
            (.squares(count: 0, power: 1), "cutouts.n"),
            (.squares(count: 2000, power: 1), "cutouts.n"),
            (.squares(count: 4, power: 0), "cutouts.cut_pow"),
            (.squares(count: 4, power: .nan), "cutouts.cut_pow"),
            (.disco(.init(overview: 0, inner: 0)), "cutouts.n"),
            (.disco(.init(overview: 4, inner: 4, batches: 0)), "cutouts.n"),
            (.disco(.init(overview: .max, inner: 4)), "cutouts.n"),
        ]
        for (recipe, field) in wrong {
            do throws(GuidanceError) {
                _ = try recipe.draw(height: 8, width: 8, size: 4, seed: 0)
                Issue.record("\(recipe) was drawn")
            } catch {
                guard case .parameter(let named, _, _) = error else { continue }
                #expect(named == field)
            }
        }
    }

    /// Against central differences of the chain itself: between its kinks it is linear, so that large
    /// steps are exact, and the few values that cross a kink are few.
    @Test(arguments: recipes) func cutoutsGoBackToThePicture(recipe: CutoutRecipe) throws {
        var random = SplitMix64(state: 31)
        let picture = ImageShape(height: 20, width: 27)
        let x = (0..<picture.count).map { _ in Float.random(in: 0.3...0.7, using: &random) }
        let direction = random.vector(picture.count)
        for cutout in try recipe.draw(height: 20, width: 27, size: 12, seed: 1).prefix(6) {
            let chain = cutout.maps(of: picture, size: 12)
            #expect(chain.output == ImageShape(height: 12, width: 12))
            let dy = random.vector(chain.output.count)
            func value(_ step: Float) -> Double {
                let moved = zip(x, direction).map { $0 + step * $1 }
                return zip(chain.forward(moved), dy).reduce(0) {
                    $0 + Double($1.0) * Double($1.1)
                }
            }
            let h: Float = 2e-3
            let slope = (value(h) - value(-h)) / Double(2 * h)
            let dx = chain.pullback(dy, at: x)
            let along = zip(direction, dx).reduce(0) { $0 + Double($1.0) * Double($1.1) }
            let size = dx.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
            let length = direction.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
            #expect(abs(slope - along) < 0.01 * size * length, "\(cutout)")
            #expect(chain.forward(x) == cutout.maps(of: picture, size: 12).forward(x))
            var sum = [Float](repeating: 0, count: picture.count)
            chain.addPullback(dy, at: x, to: &sum)
            #expect(sum == dx)
        }
    }
}
