import Glibc
import Guidance
import Testing

/// A small seeded generator (SplitMix64), so that a failure can be repeated.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
    mutating func vector(_ count: Int) -> [Float] {
        (0..<count).map { _ in Float.random(in: -1...1, using: &self) }
    }
}

@Suite struct SteeringTests {
    @Test(arguments: SteeringLoss.allCases, [1, 3])
    func gradientAgreesWithFiniteDifferences(loss: SteeringLoss, promptCount: Int) throws {
        var random = SplitMix64(state: 7)
        for _ in 0..<20 {
            let x = random.vector(24)
            let prompts = (0..<promptCount).map { _ in random.vector(24) }
            let weights = promptCount == 1 ? [1.0] : [1, -0.25, 0.5]
            let objective = try PromptObjective(
                loss: loss, prompts: prompts, weights: weights, logitScale: 14)
            let gradient = objective.evaluate(x).dEmbedding
            let direction = random.vector(24)
            // Reference in double precision, straight from the definitions.
            func value(_ step: Double) -> Double {
                let moved = zip(x, direction).map { Double($0) + step * Double($1) }
                let length = moved.map { $0 * $0 }.reduce(0, +).squareRoot()
                var total = 0.0
                for (prompt, weight) in zip(prompts, weights) {
                    let promptLength = Embedding.norm(prompt)
                    let cosine =
                        zip(moved, prompt).map { $0 * Double($1) }.reduce(0, +)
                        / (length * promptLength)
                    switch loss {
                    case .cosine: total += weight * (1 - cosine)
                    case .logit: total += weight * -14 * cosine
                    case .spherical: total += weight * 0.5 * pow(acos(cosine), 2)
                    }
                }
                return total / abs(weights.reduce(0, +))
            }
            let expected = (value(1e-5) - value(-1e-5)) / 2e-5
            let observed = Embedding.dot(gradient, direction)
            #expect(abs(observed - expected) < 1e-4 * max(1, abs(expected)))
            #expect(
                abs(Double(objective.evaluate(x).loss) - value(0)) < 1e-4 * max(1, abs(value(0))))
        }
    }

    @Test func sphericalLossIsFiniteAtBothPoles() throws {
        let y: [Float] = [1, 0, 0]
        for x in [[1, 0, 0], [-1, 0, 0], [1, 1e-7, 0], [-1, 1e-7, 0]] as [[Float]] {
            let objective = try PromptObjective(
                loss: .spherical, prompts: [y], weights: [1], logitScale: 1)
            let evaluation = objective.evaluate(x)
            #expect(evaluation.loss.isFinite)
            #expect(evaluation.dEmbedding.allSatisfy { $0.isFinite })
        }
    }

    @Test func gradientIsPerpendicularToTheEmbedding() throws {
        var random = SplitMix64(state: 3)
        let x = random.vector(16)
        let objective = try PromptObjective(
            loss: .cosine, prompts: [random.vector(16)], weights: [2], logitScale: 1)
        #expect(abs(Embedding.dot(objective.evaluate(x).dEmbedding, x)) < 1e-6)
    }

    @Test func aZeroEmbeddingHasZeroGradient() throws {
        let objective = try PromptObjective(
            loss: .cosine, prompts: [[1, 0]], weights: [1], logitScale: 1)
        #expect(objective.evaluate([0, 0]).dEmbedding == [0, 0])
    }

    @Test(
        arguments: [
            ([1.0], 2), ([0.5, -0.5], 2), ([.nan], 1), ([.infinity], 1), ([1e-4], 1),
        ] as [([Double], Int)])
    func refusesUnusableWeights(weights: [Double], promptCount: Int) {
        #expect(throws: GuidanceError.self) {
            try PromptObjective.checkWeights(weights, promptCount: promptCount)
        }
    }
}
