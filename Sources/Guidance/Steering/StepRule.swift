import Glibc

/// How a gradient becomes the step of a sampler that has no autograd.
///
/// ∇ is the gradient of the loss with respect to the predicted clean image or latents x̂0. A sampler
/// without its model's Jacobian takes ∇ at x_t to be ∇ / √ᾱ; where a rule divides by rms(∇) the constant
/// cancels. Every step is ∇ times one factor, and is *subtracted* from what ``target`` says.
/// ᾱ is the cumulative product of the noise schedule, ᾱ₋ that of the next (less noisy) step,
/// α = ᾱ / ᾱ₋, and c₁ = √ᾱ₋ · (1 − α) / (1 − ᾱ), the weight of x̂0 in the DDPM posterior.
public struct StepRule: Sendable {
    /// What the step is subtracted from.
    public enum Target: String, Sendable {
        /// The predicted clean sample, before the sampler's own update.
        case x0
        /// The predicted noise, before the sampler's own update.
        case epsilon
        /// The sample that the sampler's own update made.
        case sample
    }

    /// A number that a rule needs.
    public struct Scalar: Sendable, Equatable {
        /// Its name on the wire.
        public let name: String
        /// `nil` when the sampler must say it.
        public let standard: Float?
        /// Whether it must lie in 0…1, ends left out (the lower one alone for ᾱ₋, which ends at 1).
        let isAlpha: Bool

        static func required(_ name: String) -> Scalar {
            Scalar(name: name, standard: nil, isAlpha: false)
        }
        static func alpha(_ name: String) -> Scalar {
            Scalar(name: name, standard: nil, isAlpha: true)
        }
        static func optional(_ name: String, _ standard: Float) -> Scalar {
            Scalar(name: name, standard: standard, isAlpha: false)
        }
    }

    /// Name on the wire.
    public let name: String
    public let target: Target
    public let scalars: [Scalar]
    /// The factor of ∇, from the scalars in their order and rms(∇) > 0.
    private let factor: @Sendable (_ scalars: [Double], _ rms: Double) -> Double

    /// Every rule, by its name on the wire.
    public static let all: [StepRule] = [
        // The gradient itself.
        StepRule(name: "raw", target: .x0, scalars: [.optional("scale", 1)]) { values, _ in
            values[0]
        },
        // A step of a stated length, whatever the gradient's.
        StepRule(name: "rms", target: .x0, scalars: [.optional("scale", 1)]) { $0[0] / $1 },
        // disco-diffusion: the gradient at most 0.05 long (`disco.py`, clamp_grad) as the score of a
        // DDIM step, ε + √(1 − ᾱ) · ∇. The length is judged behind the scale: disco's gradients are
        // scaled already.
        StepRule(
            name: "clamp", target: .epsilon,
            scalars: [.alpha("alpha_bar"), .optional("scale", 1), .optional("clamp_max", 0.05)]
        ) { values, rms in
            let length = abs(values[1]) * rms
            guard length > 0 else { return 0 }
            return -(1 - values[0]).squareRoot() * values[1] * min(length, values[2]) / length
        },
        // FreeDoM, Stable Diffusion: ρ = 0.2 · cfg · rms(ε_c − ε_u) / rms(∇ at x_t).
        StepRule(
            name: "freedom-sd", target: .sample,
            scalars: [.required("cfg_rms"), .optional("rho", 0.2)]
        ) { $0[1] * $0[0] / $1 },
        // FreeDoM, CLIP on pixels: ρ = 0.02 · rms(ε) · √(1 − ᾱ) / √ᾱ · c₁ / rms(∇ at x_t).
        StepRule(
            name: "freedom-pixel", target: .sample,
            scalars: [
                .required("eps_rms"), .alpha("alpha_bar"), .alpha("alpha_bar_prev"),
                .optional("rho", 0.02),
            ]
        ) { $0[3] * $0[0] * noiseToSignal($0[1]) * posteriorWeight($0[1], $0[2]) / $1 },
        // MPGD, Stable Diffusion style: x̂0 − rho · cfg · rms(ε_c − ε_u) / rms(∇) · ∇, rho 15.
        StepRule(
            name: "mpgd-sd", target: .x0, scalars: [.required("cfg_rms"), .optional("rho", 15)]
        ) { $0[1] * $0[0] / $1 },
        // MPGD on pixels: the posterior step then weighs x̂0 by √ᾱ₋, which the rule takes out.
        StepRule(
            name: "mpgd-pixel", target: .x0,
            scalars: [
                .required("eps_rms"), .alpha("alpha_bar"), .alpha("alpha_bar_prev"),
                .optional("rho", 1.5),
            ]
        ) {
            $0[3] * $0[0] * noiseToSignal($0[1]) * posteriorWeight($0[1], $0[2])
                / ($1 * $0[2].squareRoot())
        },
        // Universal guidance, forward: ε + w · √(1 − ᾱ) · ∇ at x_t.
        StepRule(
            name: "ugd", target: .epsilon, scalars: [.alpha("alpha_bar"), .optional("scale", 6)]
        ) { values, _ in -values[1] * noiseToSignal(values[0]) },
        // TFG: + Δ_t / √α + √ᾱ₋ · Δ₀ with Δ_t = ρ · ∇ℓ at x_t and Δ₀ = μ · ∇ℓ at x̂0, ℓ = −loss. ρ and μ
        // are the present step's, of whatever schedule.
        StepRule(
            name: "tfg", target: .sample,
            scalars: [
                .alpha("alpha_bar"), .alpha("alpha_bar_prev"), .optional("rho", 1),
                .optional("mu", 1),
            ]
        ) { values, _ in
            let (now, next) = (values[0], values[1])
            return values[2] / now.squareRoot() / (now / next).squareRoot()
                + next.squareRoot() * values[3]
        },
    ]

    /// The rule of a name; `nil` when there is none.
    public static func named(_ name: String) -> StepRule? { all.first { $0.name == name } }

    /// Puts the scalars into their order.
    ///
    /// - Parameters:
    ///   - given: by name; names that the rule does not have are the caller's to refuse.
    ///   - field: the parameter's name, for errors.
    /// - Throws: `GuidanceError.parameter` for one that is missing, no number or out of range.
    public func resolve(
        _ given: [String: Double], field: String = "step"
    ) throws(GuidanceError) -> [Double] {
        var values: [Double] = []
        for scalar in scalars {
            guard let value = given[scalar.name] ?? scalar.standard.map(Double.init) else {
                throw .parameter(
                    field: "\(field).\(scalar.name)",
                    expected: "a number: rule \"\(name)\" needs it",
                    actual: "nothing")
            }
            let isValid =
                scalar.isAlpha
                ? value > 0 && (scalar.name == "alpha_bar" ? value < 1 : value <= 1)
                : value.isFinite
            guard isValid else {
                throw .parameter(
                    field: "\(field).\(scalar.name)",
                    expected: scalar.isAlpha ? "a number between 0 and 1" : "a finite number",
                    actual: "\(value)")
            }
            values.append(value)
        }
        if let now = given["alpha_bar"], let next = given["alpha_bar_prev"], next < now {
            throw .parameter(
                field: "\(field).alpha_bar_prev",
                expected: "at least alpha_bar (\(now)): the next step is less noisy",
                actual: "\(next)")
        }
        return values
    }

    /// The step to subtract for one image's or latent's gradient.
    ///
    /// - Parameter scalars: as ``resolve(_:field:)`` gives them.
    /// - Returns: zeros for a gradient of zeros.
    public func step(_ gradient: [Float], scalars: [Double]) -> [Float] {
        let rms = Self.rms(gradient)
        guard rms > 0 else { return [Float](repeating: 0, count: gradient.count) }
        let factor = Float(self.factor(scalars, rms))
        return gradient.map { $0 * factor }
    }

    /// √(mean of squares), in double precision.
    public static func rms(_ values: [Float]) -> Double {
        guard !values.isEmpty else { return 0 }
        var sum = 0.0
        for value in values { sum += Double(value) * Double(value) }
        return (sum / Double(values.count)).squareRoot()
    }

    /// √(1 − ᾱ) / √ᾱ
    private static func noiseToSignal(_ alphaBar: Double) -> Double {
        ((1 - alphaBar) / alphaBar).squareRoot()
    }

    /// c₁
    private static func posteriorWeight(_ alphaBar: Double, _ next: Double) -> Double {
        next.squareRoot() * (1 - alphaBar / next) / (1 - alphaBar)
    }
}
