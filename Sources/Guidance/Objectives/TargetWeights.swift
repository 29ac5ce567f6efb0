/// The weights of a term's targets, divided by the absolute value of their sum as those of prompts are.
public struct TargetWeights: Sendable, Equatable {
    let values: [Double]

    /// - Throws: `GuidanceError.parameter` naming `weights` (see `PromptObjective.checkWeights`).
    public init(_ weights: [Double], targetCount: Int) throws(GuidanceError) {
        let sum = try PromptObjective.checkWeights(weights, promptCount: targetCount)
        values = weights.map { $0 / abs(sum) }
    }
}

/// A unit vector on its way to a gradient: x̂ = x/‖x‖, and ∂/∂x from ∂/∂x̂.
struct Direction {
    let unit: [Double]
    private let length: Double

    /// - Parameter x: a zero vector has no direction: its unit vector and all gradients are zero.
    init(_ x: [Double]) {
        length = x.reduce(0) { $0 + $1 * $1 }.squareRoot()
        unit = length > 0 ? x.map { [length] in $0 / length } : x
    }

    init(_ x: [Float]) { self.init(x.map(Double.init)) }

    /// ⟨x̂, ŷ⟩.
    func cosine(_ other: Direction) -> Double {
        zip(unit, other.unit).reduce(0) { $0 + $1.0 * $1.1 }
    }

    /// (I − x̂x̂ᵀ)·dUnit / ‖x‖.
    func pullback(_ dUnit: [Double]) -> [Double] {
        guard length > 0 else { return dUnit.map { _ in 0 } }
        let along = zip(dUnit, unit).reduce(0) { $0 + $1.0 * $1.1 }
        return zip(dUnit, unit).map { ($0 - along * $1) / length }
    }
}
