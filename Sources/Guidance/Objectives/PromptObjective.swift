public import Encoders

/// What an image is steered towards: prompts with weights, under one loss.
///
/// L(x) = Σₚ wₚ·loss(x, p) / |Σₚ wₚ|. A negative weight steers away from its prompt.
public struct PromptObjective: Sendable {
    /// The smallest |Σ w| that is accepted; below it the normalised weights would explode.
    public static let smallestWeightSum = 1e-3

    public let loss: SteeringLoss
    /// The model's exp(logit_scale), used by `SteeringLoss.logit`.
    public let logitScale: Float
    /// Unit prompt embeddings [P][D].
    private let unitPrompts: [[Float]]
    /// wₚ / |Σ w|.
    private let weights: [Double]

    /// - Parameters:
    ///   - prompts: text embeddings [P][D] of any length, P ≥ 1.
    ///   - weights: one finite weight a prompt.
    /// - Throws: `GuidanceError.parameter` naming `weights` (see `checkWeights`).
    public init(
        loss: SteeringLoss, prompts: [[Float]], weights: [Double], logitScale: Float
    ) throws(GuidanceError) {
        let sum = try PromptObjective.checkWeights(weights, promptCount: prompts.count)
        self.loss = loss
        self.logitScale = logitScale
        self.unitPrompts = prompts.map(Embedding.normalized)
        self.weights = weights.map { $0 / abs(sum) }
    }

    /// Checks prompt weights before any work is done and returns their sum.
    ///
    /// - Throws: `GuidanceError.parameter` for a wrong number of weights, one that is not finite,
    ///   or a sum within ±`smallestWeightSum`.
    @discardableResult
    public static func checkWeights(
        _ weights: [Double], promptCount: Int
    ) throws(GuidanceError) -> Double {
        if weights.count != promptCount {
            throw .parameter(
                field: "weights", expected: "\(promptCount) numbers, one a prompt",
                actual: "\(weights.count)")
        }
        if let index = weights.firstIndex(where: { !$0.isFinite }) {
            throw .parameter(
                field: "weights[\(index)]", expected: "a finite number",
                actual: "\(weights[index])")
        }
        let sum = weights.reduce(0, +)
        if abs(sum) < smallestWeightSum || !sum.isFinite {
            throw .parameter(
                field: "weights", expected: "a sum of at least ±\(smallestWeightSum)",
                actual: "\(sum)")
        }
        return sum
    }

    /// The objective at one image embedding.
    public struct Evaluation: Sendable {
        /// L(x).
        public let loss: Float
        /// Σₚ wₚ·cos(x, p) / |Σ w|.
        public let score: Float
        /// ∂L/∂x, [D].
        public let dEmbedding: [Float]
    }

    /// The loss, the weighted cosine and ∂L/∂x at an image embedding.
    ///
    /// ∂L/∂x = (I − x̂x̂ᵀ)·(Σₚ wₚ kₚ ŷₚ)/‖x‖ with kₚ from `SteeringLoss.promptCoefficient`.
    ///
    /// - Parameter embedding: x [D], not normalised. The gradient at a zero vector is zero.
    public func evaluate(_ embedding: [Float]) -> Evaluation {
        let length = Embedding.norm(embedding)
        let unit = Embedding.normalized(embedding)
        var value = 0.0
        var score = 0.0
        var dUnit = [Double](repeating: 0, count: embedding.count)
        for (prompt, weight) in zip(unitPrompts, weights) {
            value +=
                weight * loss.value(unitImage: unit, unitPrompt: prompt, logitScale: logitScale)
            score += weight * Embedding.dot(unit, prompt)
            let coefficient = loss.promptCoefficient(
                unitImage: unit, unitPrompt: prompt, logitScale: logitScale)
            for index in dUnit.indices {
                dUnit[index] += weight * coefficient * Double(prompt[index])
            }
        }
        var gradient = [Float](repeating: 0, count: embedding.count)
        if length > 0 {
            var along = 0.0
            for index in dUnit.indices { along += dUnit[index] * Double(unit[index]) }
            for index in dUnit.indices {
                gradient[index] = Float((dUnit[index] - along * Double(unit[index])) / length)
            }
        }
        return Evaluation(loss: Float(value), score: Float(score), dEmbedding: gradient)
    }
}

extension PromptObjective: ObjectiveTerm {
    public var output: TowerOutput { .embedding }

    public func value(at embedding: [Float]) -> TermValue {
        let evaluation = evaluate(embedding)
        return TermValue(loss: Double(evaluation.loss), dOutput: evaluation.dEmbedding)
    }
}
