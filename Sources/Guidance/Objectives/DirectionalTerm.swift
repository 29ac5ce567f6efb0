public import Encoders

/// Moves an image along the direction from one text to another: 1 − cos(x̂ − x̂₀, t̂ − t̂₀), weighted
/// over several directions (Gal et al. 2022, StyleGAN-NADA, §3.2; all embeddings are unit vectors).
public struct DirectionalTerm: ObjectiveTerm {
    private let source: Direction
    private let directions: [Direction]
    private let weights: TargetWeights

    /// - Parameters:
    ///   - source: x₀, the embedding of the image that the changes start from.
    ///   - targets, sources: t and t₀, as many of one as of the other.
    /// - Throws: `GuidanceError.parameter` when numbers do not agree, or a target is its source.
    public init(
        source: [Float], targets: [[Float]], sources: [[Float]], weights: [Double]
    ) throws(GuidanceError) {
        self.weights = try TargetWeights(weights, targetCount: targets.count)
        guard sources.count == targets.count else {
            throw .parameter(
                field: "source_prompts", expected: "\(targets.count), one a target",
                actual: "\(sources.count)")
        }
        self.source = Direction(source)
        var directions: [Direction] = []
        for (index, (target, from)) in zip(targets, sources).enumerated() {
            let difference = zip(Direction(target).unit, Direction(from).unit).map { $0 - $1 }
            guard difference.contains(where: { abs($0) > 1e-6 }) else {
                throw .parameter(
                    field: "source_prompts[\(index)]", expected: "another text than its target",
                    actual: "one with the same embedding")
            }
            directions.append(Direction(difference))
        }
        self.directions = directions
    }

    public var output: TowerOutput { .embedding }

    /// Where the image is still at x₀ there is no direction yet: the loss is that of a right angle, and
    /// the gradient the one that the loss 1 − ⟨x̂ − x̂₀, d̂⟩ has.
    public func value(at embedding: [Float]) -> TermValue {
        let x = Direction(embedding)
        let difference = zip(x.unit, source.unit).map { $0 - $1 }
        let change = Direction(difference)
        let isAtSource = !difference.contains { abs($0) > 1e-6 }
        var loss = 0.0
        var dUnit = [Double](repeating: 0, count: embedding.count)
        for (direction, weight) in zip(directions, weights.values) {
            loss += weight * (isAtSource ? 1 : 1 - change.cosine(direction))
            for index in dUnit.indices { dUnit[index] -= weight * direction.unit[index] }
        }
        let dDifference = isAtSource ? dUnit : change.pullback(dUnit)
        return TermValue(loss: loss, dOutput: x.pullback(dDifference).map { Float($0) })
    }
}
