import Guidance
import Testing

/// Step rules, regularisers, inner optimisers and smoothing against values that torch or plain
/// arithmetic gives.
@Suite struct SteeringRuleTests {
    /// ᾱ 0.25, ᾱ₋ 0.36, rms(ε) 1.5, cfg · rms(ε_c − ε_u) 0.8, ∇ (3, −4).
    private static let scalars: [String: Double] = [
        "alpha_bar": 0.25, "alpha_bar_prev": 0.36, "eps_rms": 1.5, "cfg_rms": 0.8,
    ]
    private static let steps: [(String, StepRule.Target, [Float])] = [
        ("raw", .x0, [3, -4]),
        ("rms", .x0, [0.848528137, -1.13137085]),
        ("clamp", .epsilon, [-0.036742346, 0.048989795]),
        ("freedom-sd", .sample, [0.135764502, -0.181019336]),
        ("freedom-pixel", .sample, [0.010777755, -0.01437034]),
        ("mpgd-sd", .x0, [10.1823376, -13.5764502]),
        ("mpgd-pixel", .x0, [1.34721936, -1.79629248]),
        ("ugd", .epsilon, [-31.1769145, 41.5692194]),
    ]

    @Test(arguments: steps) func ruleGivesTheStepOfItsFormula(
        name: String, target: StepRule.Target, expected: [Float]
    ) throws {
        let rule = try #require(StepRule.named(name))
        #expect(rule.target == target)
        let step = rule.step([3, -4], scalars: try rule.resolve(Self.scalars))
        #expect(zip(step, expected).allSatisfy { abs($0 - $1) < 1e-5 * abs($1) }, "\(step)")
        #expect(rule.step([0, 0], scalars: try rule.resolve(Self.scalars)) == [0, 0])
    }

    @Test func tfgJoinsBothOfItsSteps() throws {
        let rule = try #require(StepRule.named("tfg"))
        let scalars = Self.scalars.merging(["mu": 2]) { $1 }
        let step = rule.step([3, -4], scalars: try rule.resolve(scalars))
        #expect(abs(step[0] - 10.8) < 1e-5 && abs(step[1] + 14.4) < 1e-5)
    }

    @Test func aShortGradientIsNotClamped() throws {
        let rule = try #require(StepRule.named("clamp"))
        let step = rule.step([0.01, 0], scalars: try rule.resolve(["alpha_bar": 0.75]))
        #expect(abs(step[0] + 0.005) < 1e-8)
    }

    @Test func missingAndImpossibleScalarsAreNamed() throws {
        func field(_ name: String, _ scalars: [String: Double]) -> String? {
            do throws(GuidanceError) {
                _ = try StepRule.named(name)?.resolve(scalars)
                return nil
            } catch {
                guard case .parameter(let field, _, _) = error else { return nil }
                return field
            }
        }
        #expect(field("mpgd-sd", [:]) == "step.cfg_rms")
        #expect(field("mpgd-sd", ["cfg_rms": .nan]) == "step.cfg_rms")
        #expect(field("ugd", ["alpha_bar": 1]) == "step.alpha_bar")
        #expect(field("ugd", ["alpha_bar": 0]) == "step.alpha_bar")
        #expect(field("tfg", ["alpha_bar": 0.5, "alpha_bar_prev": 0.4]) == "step.alpha_bar_prev")
        #expect(field("tfg", ["alpha_bar": 0.5, "alpha_bar_prev": 1]) == nil)
        #expect(StepRule.named("dps") == nil)
    }

    // torch: a picture of 5 × 4 pixels around 0…1, its losses and the gradient at its second plane.
    private static let pixels: [Float] = [
        0.9122105, 0.1468974, 0.3449108, 0.8754951, -0.2531495, 0.9797738, 0.3354198, 0.9069951,
        0.6112136, 0.4020447, 0.7218887, 0.5394654, 0.7921825, 0.1882392, 0.441673, 0.4279782,
        0.6159552, 0.4968041, 1.1993334, 0.7489521, 0.202075, 0.0168309, 0.3659075, 0.1549274,
        0.2436412, 0.5383053, 0.9769022, 0.9348293, -0.2820407, 0.9959365, 0.7234911, 1.2588444,
        1.0280478, -0.2289102, -0.2606467, 0.1141343, 1.2024894, 0.3667448, 0.8423676, 0.1282308,
        1.2849743, 0.1615212, 1.0999398, 0.5094733, 0.078546, 0.9112119, 0.0753439, 0.7352838,
        0.2689942, 0.4122925, -0.2691105, 0.1185746, 0.9341072, 0.3055382, 1.2968397, 1.1412706,
        0.4625411, -0.0339865, 0.9871698, 0.7482857,
    ]
    private static let losses: [(Regularizer, Float, [Float])] = [
        (
            .totalVariation, 2.3528671,
            [
                -0.0201315, -0.1992523, -0.001182, 0.0183032, -0.0884775, -0.0383403, 0.1545065,
                0.2200668, -0.3979928, 0.4382474, 0.0345586, 0.1472596, 0.2374244, -0.2991158,
                -0.2236263, -0.2263616, 0.2490326, -0.2630227, 0.3014717, -0.0433679,
            ]
        ),
        (
            .range, 0.0456891,
            [
                0, 0, 0, 0, 0, 0, 0, 0, -0.0376054, 0, 0, 0.0345126, 0.0037397, -0.0305214,
                -0.0347529, 0, 0.0269986, 0, 0, 0,
            ]
        ),
        (
            .saturation, 0.0946528,
            [
                0, 0, 0, 0, 0, 0, 0, 0, -0.0333333, 0, 0, 0.0333333, 0.0333333, -0.0333333,
                -0.0333333, 0, 0.0333333, 0, 0, 0,
            ]
        ),
    ]

    @Test(arguments: losses) func regularizersMatchTorch(
        kind: Regularizer, loss: Float, expected: [Float]
    ) {
        var gradient = [Float](repeating: 1, count: 60)
        let value = kind.add(of: Self.pixels, height: 4, width: 5, weight: 10, to: &gradient)
        #expect(abs(value - loss) < 2e-6)
        let own = gradient[20..<40].map { ($0 - 1) / 10 }
        #expect(zip(own, expected).allSatisfy { abs($0 - $1) < 1e-6 }, "\(own)")
    }

    @Test func adamTakesTorchsSteps() {
        // x² + x₀x₁ summed over (0.5, −1, 2), rate 0.1, three steps.
        var optimizer = InnerOptimizer(.adam, rate: 0.1)
        var x: [Float] = [0.5, -1, 2]
        for _ in 0..<3 {
            optimizer.step(&x, gradient: [2 * x[0] + x[1], 2 * x[1] + x[0], 2 * x[2]])
        }
        let expected: [Float] = [0.34542581, -0.70197201, 1.70062339]
        #expect(zip(x, expected).allSatisfy { abs($0 - $1) < 1e-5 }, "\(x)")
    }

    @Test func plainAndNormalisedSteps() {
        var x: [Float] = [1, 1]
        var sgd = InnerOptimizer(.sgd, rate: 0.5)
        sgd.step(&x, gradient: [2, -4])
        #expect(x == [0, 3])
        var mpgd = InnerOptimizer(.mpgd, rate: 0.1)
        mpgd.step(&x, gradient: [300, -300])
        #expect(abs(x[0] + 0.1) < 1e-6 && abs(x[1] - 3.1) < 1e-6)
        mpgd.step(&x, gradient: [0, 0])
        #expect(abs(x[1] - 3.1) < 1e-6)
    }

    @Test func smoothingWeighsTheBetterCopies() {
        let (loss, weights) = MonteCarloSmoothing.combine([1, 1, 1])
        #expect(abs(loss - 1) < 1e-6 && weights.allSatisfy { abs($0 - 1 / 3) < 1e-6 })
        // −log((e⁻¹ + e⁻³) / 2) = 1 + log 2 − log(1 + e⁻²)
        let (two, shares) = MonteCarloSmoothing.combine([1, 3])
        #expect(abs(two - 1.5662192) < 1e-5)
        #expect(abs(shares[0] - 0.8807971) < 1e-6)
        // Losses that would underflow an exponential.
        let (large, own) = MonteCarloSmoothing.combine([1000, 2000])
        #expect(abs(large - 1000.6931) < 1e-2 && own == [1, 0])
    }
}
