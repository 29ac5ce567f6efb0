public import Encoders

/// The distance ‖x − t‖₂ to target embeddings, none of them normalised (FreeDoM, `base_clip.py`
/// `get_residual`; MPGD has the same).
public struct FeatureTerm: ObjectiveTerm {
    private let targets: [[Float]]
    private let weights: TargetWeights

    /// - Parameter targets: [P][D], P ≥ 1, as the tower gives them.
    /// - Throws: `GuidanceError.parameter` naming `weights`.
    public init(targets: [[Float]], weights: [Double]) throws(GuidanceError) {
        self.weights = try TargetWeights(weights, targetCount: targets.count)
        self.targets = targets
    }

    public var output: TowerOutput { .embedding }

    /// The gradient at a target is zero.
    public func value(at embedding: [Float]) -> TermValue {
        var loss = 0.0
        var gradient = [Double](repeating: 0, count: embedding.count)
        for (target, weight) in zip(targets, weights.values) {
            let difference = zip(embedding, target).map { Double($0) - Double($1) }
            let length = difference.reduce(0) { $0 + $1 * $1 }.squareRoot()
            loss += weight * length
            guard length > 0 else { continue }
            for index in gradient.indices { gradient[index] += weight * difference[index] / length }
        }
        return TermValue(loss: loss, dOutput: gradient.map { Float($0) })
    }
}
