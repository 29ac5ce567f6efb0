public import Encoders

/// The gradient of a prompt objective with respect to one image's pixels.
public struct PixelGradient: Sendable {
    /// L at the image.
    public let loss: Float
    /// The weighted cosine at the image.
    public let score: Float
    /// ∂L/∂pixels, [3, H, W] at the image's own height and width, for pixels in 0…1.
    public let gradient: [Float]

    /// Resizes differentiably, encodes, and goes all the way back.
    ///
    /// - Parameters:
    ///   - image: [3, H, W], nominally 0…1; values outside are not clamped.
    ///   - preprocessing: the differentiable map for this H × W and this tower.
    /// - Throws: what the tower throws for pixels that are not its size.
    public init(
        image: [Float], objective: PromptObjective, preprocessing: DifferentiablePreprocessing,
        tower: VisionTower, workspace: VisionWorkspace
    ) throws(EncoderError) {
        var evaluation = PromptObjective.Evaluation(loss: 0, score: 0, dEmbedding: [])
        let result = try tower.gradient(preprocessing.forward(image), workspace: workspace) {
            embedding in
            evaluation = objective.evaluate(embedding)
            return evaluation.dEmbedding
        }
        loss = evaluation.loss
        score = evaluation.score
        gradient = preprocessing.backward(result.dPixels)
    }
}
