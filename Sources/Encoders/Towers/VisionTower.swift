/// CLIP's image tower: a vision transformer whose class token, projected, is the image's embedding.
///
/// Immutable: any number of threads may use it at once, each with a workspace of its own. The same
/// pixels always give the same bits, whatever else is computed beside them.
public final class VisionTower: Sendable {
    public let configuration: VisionConfiguration
    private let patches: PatchEmbedding
    private let preNorm: LayerNorm
    private let layers: [TransformerLayer]
    private let postNorm: LayerNorm
    private let projection: Linear?

    /// - Throws: `EncoderError.tensor` when an array does not have the configuration's size,
    ///   `.configuration` when the sizes themselves cannot be.
    public init(
        configuration: VisionConfiguration, weights: VisionWeights
    ) throws(EncoderError) {
        let check = WeightCheck(tower: "image tower")
        guard configuration.patchSize > 0, configuration.imageSize >= configuration.patchSize,
            configuration.imageSize <= 16_384
        else {
            throw .configuration(
                path: check.tower, field: "image size", expected: "one patch or more, up to 16384",
                actual: "\(configuration.imageSize), patch \(configuration.patchSize)")
        }
        let shape = TransformerShape(configuration)
        try check.check(shape)
        let width = configuration.width
        let patch = configuration.patchSize
        try check.check("patch embedding", weights.patchEmbedding, [width, 3, patch, patch])
        try check.check("class embedding", weights.classEmbedding, [width])
        try check.check(
            "position embedding", weights.positionEmbedding, [configuration.tokens, width])
        try check.check("pre norm weight", weights.preNormWeight, [width])
        try check.check("pre norm bias", weights.preNormBias, [width])
        try check.check("post norm weight", weights.postNormWeight, [width])
        try check.check("post norm bias", weights.postNormBias, [width])
        try check.check(weights.layers, shape)
        if let outputs = configuration.projection {
            try check.check("projection", weights.projection ?? [], [outputs, width])
        }

        self.configuration = configuration
        patches = PatchEmbedding(
            configuration, kernels: weights.patchEmbedding, classToken: weights.classEmbedding,
            positions: weights.positionEmbedding)
        preNorm = LayerNorm(
            gain: weights.preNormWeight, bias: weights.preNormBias, eps: configuration.eps)
        layers = weights.layers.map { TransformerLayer($0, shape: shape) }
        postNorm = LayerNorm(
            gain: weights.postNormWeight, bias: weights.postNormBias, eps: configuration.eps)
        if let outputs = configuration.projection, let matrix = weights.projection {
            projection = Linear(weight: matrix, bias: nil, inputs: width, outputs: outputs)
        } else {
            projection = nil
        }
    }

    /// Values in an embedding.
    public var embeddingWidth: Int { configuration.embeddingWidth }

    /// Memory for one thread.
    public func makeWorkspace() -> VisionWorkspace { VisionWorkspace(configuration) }

    /// The embedding of one image, [embeddingWidth], not normalised.
    ///
    /// Of the last block only the class token is computed.
    ///
    /// - Parameter pixels: [3, S, S], normalised as the model's preprocessing does.
    /// - Throws: `EncoderError.image` when the number of pixels is not the model's.
    public func embed(
        _ pixels: [Float], workspace: VisionWorkspace
    ) throws(EncoderError) -> [Float] {
        try check(pixels, workspace)
        let blocks = workspace.blocks
        let stream = blocks.stream(tokens: configuration.tokens)
        patches.forward(pixels, into: stream, patches: workspace.patches.view)
        preNorm.forward(stream, into: stream)
        let state = blocks.sharedState(tokens: configuration.tokens)
        for (index, layer) in layers.enumerated() {
            layer.forward(state, queries: queries(layer: index), scratch: blocks.scratch)
        }
        return pool(stream.rows(0..<1), workspace, keeping: nil)
    }

    /// The residual stream before the first block (after the first norm) and after every block:
    /// [layers + 1] states of [T, W], class token first, without the final norm.
    ///
    /// - Throws: `EncoderError.image` when the number of pixels is not the model's.
    public func hiddenStates(
        _ pixels: [Float], workspace: VisionWorkspace
    ) throws(EncoderError) -> [[Float]] {
        try check(pixels, workspace)
        let blocks = workspace.blocks
        let tokens = configuration.tokens
        let stream = blocks.stream(tokens: tokens)
        patches.forward(pixels, into: stream, patches: workspace.patches.view)
        preNorm.forward(stream, into: stream)
        let state = blocks.sharedState(tokens: tokens)
        var states = [stream.array()]
        for layer in layers {
            layer.forward(state, queries: 0..<tokens, scratch: blocks.scratch)
            states.append(stream.array())
        }
        return states
    }

    /// The embedding, the same bits as `embed` gives, and the gradient of a loss on it with respect
    /// to the pixels.
    ///
    /// The forward keeps every layer's state (`VisionWorkspace.bytes(_:gradients:)`), allocated at a
    /// workspace's first gradient. The backward computes gradients of activations only.
    ///
    /// - Parameters:
    ///   - pixels: [3, S, S], normalised.
    ///   - dEmbedding: gets the embedding, returns d(loss)/d(embedding) of the same length.
    /// - Returns: the embedding and d(loss)/d(pixels), [3, S, S].
    /// - Throws: `EncoderError.image` when the number of pixels is not the model's.
    public func gradient(
        _ pixels: [Float], workspace: VisionWorkspace, dEmbedding: ([Float]) -> [Float]
    ) throws(EncoderError) -> (embedding: [Float], dPixels: [Float]) {
        try check(pixels, workspace)
        workspace.prepareForGradients()
        let blocks = workspace.blocks
        let tokens = configuration.tokens
        let embedded = workspace.embedded
        let preNormStatistics = NormStatistics(workspace.statistics.rows(0..<2))
        patches.forward(pixels, into: embedded, patches: workspace.patches.view)
        preNorm.forward(
            embedded, into: blocks.keptStream(0, tokens: tokens), keeping: preNormStatistics)
        for (index, layer) in layers.enumerated() {
            layer.forward(
                blocks.keptState(layer: index, tokens: tokens), queries: queries(layer: index),
                scratch: blocks.scratch)
        }
        let classToken = blocks.keptStream(layers.count, tokens: tokens).rows(0..<1)
        let postNormStatistics = NormStatistics(
            workspace.statistics.rows(2..<4).columns(0..<1))
        let embedding = pool(classToken, workspace, keeping: postNormStatistics)

        let d = blocks.streamGradient(tokens: tokens)
        d.fill(0)
        unpool(
            dEmbedding(embedding), workspace, classToken: classToken,
            statistics: postNormStatistics, into: d.rows(0..<1))
        for (index, layer) in layers.enumerated().reversed() {
            layer.backward(
                d, state: blocks.keptState(layer: index, tokens: tokens),
                queries: queries(layer: index), scratch: blocks.scratch)
        }
        preNorm.backward(
            d, x: embedded, statistics: preNormStatistics, into: d, accumulate: false)
        return (embedding, patches.backward(d, patches: workspace.patches.view))
    }

    /// The rows that a pooled output needs from a block: all, but only the class token's from the
    /// last.
    private func queries(layer: Int) -> Range<Int> {
        layer == layers.count - 1 ? 0..<1 : 0..<configuration.tokens
    }

    private func pool(
        _ classToken: Rows, _ workspace: VisionWorkspace, keeping statistics: NormStatistics?
    ) -> [Float] {
        let pooled = workspace.pooled.view
        postNorm.forward(classToken, into: pooled, keeping: statistics)
        guard let projection else { return pooled.array() }
        let embedding = workspace.embedding.view
        projection.forward(pooled, into: embedding)
        return embedding.array()
    }

    private func unpool(
        _ dEmbedding: [Float], _ workspace: VisionWorkspace, classToken: Rows,
        statistics: NormStatistics, into dClassToken: Rows
    ) {
        precondition(dEmbedding.count == embeddingWidth, "the gradient of another embedding")
        let dPooled = workspace.pooled.view
        if let projection {
            workspace.embedding.view.copy(from: dEmbedding)
            projection.inputGradient(workspace.embedding.view, into: dPooled)
        } else {
            dPooled.copy(from: dEmbedding)
        }
        postNorm.backward(
            dPooled, x: classToken, statistics: statistics, into: dClassToken, accumulate: false)
    }

    private func check(
        _ pixels: [Float], _ workspace: VisionWorkspace
    ) throws(EncoderError) {
        precondition(workspace.configuration == configuration, "the workspace of another tower")
        let size = configuration.imageSize
        guard pixels.count == 3 * size * size else {
            throw .image(
                expected: "[3, \(size), \(size)] values", actual: "\(pixels.count) values")
        }
    }
}
