public import Encoders
import Glibc

/// Prefers each target to a list of negatives: −log softmax of s·cos of the target among itself and
/// the negatives, with s = exp(logit_scale); CLIP's own training loss with chosen negatives (Radford et
/// al. 2021, §2.3).
public struct ContrastTerm: ObjectiveTerm {
    private let targets: [Direction]
    private let negatives: [Direction]
    private let weights: TargetWeights
    private let logitScale: Double

    /// - Throws: `GuidanceError.parameter` naming `weights`, or `negatives` when there is none.
    public init(
        targets: [[Float]], weights: [Double], negatives: [[Float]], logitScale: Float
    ) throws(GuidanceError) {
        self.weights = try TargetWeights(weights, targetCount: targets.count)
        guard !negatives.isEmpty else {
            throw .parameter(field: "negatives", expected: "one or more", actual: "none")
        }
        self.targets = targets.map { Direction($0) }
        self.negatives = negatives.map { Direction($0) }
        self.logitScale = Double(logitScale)
    }

    public var output: TowerOutput { .embedding }

    public func value(at embedding: [Float]) -> TermValue {
        let x = Direction(embedding)
        let others = negatives.map { logitScale * x.cosine($0) }
        var loss = 0.0
        var dUnit = [Double](repeating: 0, count: embedding.count)
        for (target, weight) in zip(targets, weights.values) {
            let own = logitScale * x.cosine(target)
            let top = others.reduce(own, max)
            let exponentials = others.map { exp($0 - top) }
            let sum = exponentials.reduce(exp(own - top), +)
            loss += weight * (log(sum) + top - own)
            add(weight * logitScale * (exp(own - top) / sum - 1), target, to: &dUnit)
            for (negative, exponential) in zip(negatives, exponentials) {
                add(weight * logitScale * exponential / sum, negative, to: &dUnit)
            }
        }
        return TermValue(loss: loss, dOutput: x.pullback(dUnit).map { Float($0) })
    }

    private func add(_ factor: Double, _ direction: Direction, to sum: inout [Double]) {
        for index in sum.indices { sum[index] += factor * direction.unit[index] }
    }
}
