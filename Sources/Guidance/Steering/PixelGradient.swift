public import Encoders

/// The gradient of a prompt objective with respect to one image's pixels.
public struct PixelGradient: Sendable {
    /// L at the image.
    public let loss: Float
    /// The weighted cosine at the image.
    public let score: Float
    /// ∂L/∂pixels, [3, H, W] at the image's own height and width, for pixels in 0…1.
    public let gradient: [Float]

    /// One image of a group, on its way to the gradient.
    public struct Source: Sendable {
        fileprivate enum Content: Sendable {
            case image([Float])
            case pixels([Float])
        }

        fileprivate let content: Content
        public let objective: PromptObjective
        /// The differentiable map for this H × W and the tower.
        public let preprocessing: ResampleMap

        /// - Parameter image: [3, H, W], nominally 0…1; values outside are not clamped.
        public init(
            image: [Float], objective: PromptObjective, preprocessing: ResampleMap
        ) {
            content = .image(image)
            self.objective = objective
            self.preprocessing = preprocessing
        }

        /// - Parameter pixels: what `preprocessing.forward` made of the image, [3, S, S].
        public init(
            pixels: [Float], objective: PromptObjective, preprocessing: ResampleMap
        ) {
            content = .pixels(pixels)
            self.objective = objective
            self.preprocessing = preprocessing
        }

        /// The tower's input.
        fileprivate var pixels: [Float] {
            switch content {
            case .image(let image): preprocessing.forward(image)
            case .pixels(let pixels): pixels
            }
        }
    }

    /// Resizes a group differentiably where that is not done yet, encodes it, and goes all the way back.
    ///
    /// - Parameter sources: up to the workspace's capacity; an image's result does not depend on the
    ///   others.
    /// - Returns: a gradient an image, or why that image has none: its embedding is not finite or has no
    ///   length, or the way back left the finite numbers.
    /// - Throws: what the tower throws for pixels that are not its size, or without gradients.
    public static func gradients(
        _ sources: [Source], tower: any ImageTower, workspace: any ImageWorkspace
    ) throws(EncoderError) -> [Result<PixelGradient, EncoderError>] {
        let pixels = workspace.meter.time(.preprocess) {
            sources.map(\.pixels)
        }
        let tape = try tower.forward(pixels, to: .embedding, workspace: workspace)
        let evaluations = zip(sources, tape.values).map { source, embedding in
            Result { () throws(EncoderError) in
                try ResultCheck.embedding(embedding, from: .image)
                return source.objective.evaluate(embedding)
            }
        }
        let dPixels = tower.pullback(
            zip(evaluations, tape.values).map { evaluation, embedding in
                // The others of the group go on.
                (try? evaluation.get().dEmbedding) ?? embedding.map { _ in 0 }
            }, through: tape, workspace: workspace)
        return workspace.meter.time(.preprocessBackward) {
            sources.indices.map { index in
                Result { () throws(EncoderError) in
                    let evaluation = try evaluations[index].get()
                    let gradient = sources[index].preprocessing.pullback(dPixels[index])
                    try ResultCheck.finite(
                        [evaluation.loss, evaluation.score], from: .image, named: "a loss")
                    try ResultCheck.finite(gradient, from: .image, named: "a gradient")
                    return PixelGradient(
                        loss: evaluation.loss, score: evaluation.score, gradient: gradient)
                }
            }
        }
    }
}
