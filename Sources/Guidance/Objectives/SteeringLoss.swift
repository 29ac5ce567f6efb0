import Glibc

/// A loss between an image embedding and a prompt embedding, with its gradient.
///
/// In the formulas x is the image embedding, x̂ = x/‖x‖, ŷ the unit prompt embedding, c = x̂·ŷ.
/// An optimiser descends each of them towards the prompt. Raw values are the wire's names.
public enum SteeringLoss: String, CaseIterable, Sendable {
    /// 1 − c, in 0…2.
    case cosine
    /// 2·asin²(‖x̂ − ŷ‖/2) = θ²/2 with θ the angle between x̂ and ŷ, in 0…π²/2
    /// (K. Crowson's spherical distance loss for CLIP guidance).
    case spherical
    /// −exp(logit_scale) · c (Nichol et al. 2021, GLIDE, arXiv 2112.10741).
    case logit

    /// The loss of a unit image embedding and a unit prompt embedding.
    public func value(unitImage: [Float], unitPrompt: [Float], logitScale: Float) -> Double {
        switch self {
        case .cosine:
            return 1 - Embedding.dot(unitImage, unitPrompt)
        case .spherical:
            let theta = SteeringLoss.angle(unitImage, unitPrompt)
            return 0.5 * theta * theta
        case .logit:
            return -Double(logitScale) * Embedding.dot(unitImage, unitPrompt)
        }
    }

    /// k in ∂L/∂x̂ = k·ŷ (up to a multiple of x̂, which the tangent projection removes).
    ///
    /// cosine: −1; logit: −exp(logit_scale); spherical: −θ/sin θ, which tends to −1 as θ → 0 and
    /// is held finite near θ = π, where the direction of steepest descent is not defined.
    public func promptCoefficient(
        unitImage: [Float], unitPrompt: [Float], logitScale: Float
    ) -> Double {
        switch self {
        case .cosine: return -1
        case .logit: return -Double(logitScale)
        case .spherical:
            let theta = SteeringLoss.angle(unitImage, unitPrompt)
            guard theta > 1e-4 else { return -(1 + theta * theta / 6) }
            return -theta / max(sin(theta), 1e-6)
        }
    }

    /// The angle between two unit vectors in 0…π, accurate also for nearly equal ones.
    private static func angle(_ a: [Float], _ b: [Float]) -> Double {
        var squares = 0.0
        for index in a.indices {
            let difference = Double(a[index]) - Double(b[index])
            squares += difference * difference
        }
        return 2 * asin(min(squares.squareRoot() / 2, 1))
    }
}
