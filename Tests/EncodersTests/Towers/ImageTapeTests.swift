import Encoders
import Testing

/// Gradients in two halves: any output, any loss between them, any time between them.
@Suite struct ImageTapeTests {
    /// ∂/∂pixels of ⟨c, states⟩ + ½‖states‖², against central differences of the plain tower in double
    /// precision.
    @Test(arguments: VisionCase.all) func statesPullBackToPixels(c: VisionCase) throws {
        let weights = c.weights(seed: 5)
        let tower = try CLIPImageTower(configuration: c.configuration, weights: weights)
        let pixels = c.pixels(seed: 3)
        let loss = TestLoss(width: c.configuration.tokens * c.configuration.width, seed: 6)
        for layer in 0...c.configuration.layers {
            let workspace = tower.makeWorkspace()
            let tape = try tower.forward(
                [pixels], to: .states(after: layer), workspace: workspace)
            #expect(
                try tape.values[0]
                    == tower.hiddenStates(
                        [pixels], after: layer, workspace: tower.makeWorkspace())[0])
            let dPixels = tower.pullback(
                [loss.gradient(tape.values[0])], through: tape, workspace: workspace)[0]
            var random = TowerRandom(9)
            let direction = random.floats(pixels.count).map(Double.init)
            func at(_ step: Double) -> Double {
                let moved = zip(pixels, direction).map { Double($0) + step * $1 }
                let states = ReferenceTower.embedImage(moved, c.configuration, weights).states
                return loss.value(states[layer].flatMap { $0 })
            }
            let h = 1e-4
            let slope = (at(h) - at(-h)) / (2 * h)
            let along = zip(direction, dPixels).reduce(0.0) { $0 + $1.0 * Double($1.1) }
            let scale =
                dPixels.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
                * direction.reduce(0.0) { $0 + $1 * $1 }.squareRoot()
            #expect(abs(slope - along) < 1e-5 * scale, "layer \(layer)")
        }
    }

    /// Groups, recomputation and precision leave the values of a state and its gradient alone.
    @Test(arguments: VisionCase.all, [Precision.f32, .bf16])
    func statesDoNotDependOnTheirGroup(c: VisionCase, precision: Precision) throws {
        #if PackedKernels
            let tower = try c.tower(ComputeOptions(precision: precision))
            let loss = TestLoss(width: c.configuration.tokens * c.configuration.width, seed: 6)
            let images = (0..<3).map { c.pixels(seed: $0) }
            for layer in 0...c.configuration.layers {
                func run(_ images: [[Float]], _ workspace: any ImageWorkspace) throws -> [[Float]] {
                    let tape = try tower.forward(
                        images, to: .states(after: layer), workspace: workspace)
                    return tower.pullback(
                        tape.values.map(loss.gradient), through: tape, workspace: workspace)
                }
                let alone = try images.map { try run([$0], tower.makeWorkspace())[0] }
                let together = tower.makeWorkspace(capacity: 3)
                #expect(try run(images, together) == alone)
                let recomputing = tower.makeWorkspace(capacity: 3, budget: 1)
                #expect(try run(images, recomputing) == alone)
                #expect(recomputing.recomputesActivations)
            }
        #endif
    }

    /// One objective over two towers: both forwards, then both losses, then both ways back.
    @Test func towersTakeTurns() throws {
        let c = VisionCase.all[0]
        let towers = try [c.tower(seed: 1), c.tower(seed: 2)]
        let loss = TestLoss(width: towers[0].embeddingWidth, seed: 4)
        let images = (0..<2).map { c.pixels(seed: $0) }
        let workspaces = towers.map { $0.makeWorkspace(capacity: 2) }
        let tapes = try zip(towers, workspaces).map {
            try $0.forward(images, to: .embedding, workspace: $1)
        }
        for index in [1, 0] {
            let dPixels = towers[index].pullback(
                tapes[index].values.map(loss.gradient), through: tapes[index],
                workspace: workspaces[index])
            let expected = try towers[index].gradients(
                images, workspace: towers[index].makeWorkspace(capacity: 2)
            ) { loss.gradient($1) }
            #expect(dPixels == expected.map(\.dPixels))
            #expect(tapes[index].values == expected.map(\.embedding))
        }
    }

    #if !os(Windows)
        /// A tape whose memory was used again would give another image's gradient.
        @Test func anOldTapeIsRefused() async {
            await #expect(processExitsWith: .failure) {
                let c = VisionCase.all[0]
                let tower = try c.tower()
                let workspace = tower.makeWorkspace()
                let tape = try tower.forward(
                    [c.pixels(seed: 1)], to: .embedding, workspace: workspace)
                _ = try tower.embed(c.pixels(seed: 2), workspace: workspace)
                _ = tower.pullback(tape.values, through: tape, workspace: workspace)
            }
        }
    #endif
}
