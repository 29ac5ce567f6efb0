/// CLIP's image tower: a vision transformer whose class token, projected, is the image's embedding.
///
/// Immutable: any number of threads may use it at once, each with a workspace of its own. The same
/// pixels always give the same bits, whatever else is in their group or computed beside them.
public final class VisionTower: Sendable {
    public let configuration: VisionConfiguration
    private let patches: PatchEmbedding
    private let preNorm: LayerNorm
    private let layers: [TransformerLayer]
    private let head: TowerHead
    /// How the weights are held.
    public let options: ComputeOptions

    /// - Throws: `EncoderError.tensor` when an array does not have the configuration's size,
    ///   `.configuration` when the sizes themselves cannot be.
    public init(
        configuration: VisionConfiguration, weights: VisionWeights,
        options: ComputeOptions = ComputeOptions()
    ) throws(EncoderError) {
        try options.check()
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
        self.options = options
        patches = PatchEmbedding(
            configuration, kernels: weights.patchEmbedding, classToken: weights.classEmbedding,
            positions: weights.positionEmbedding, options: options)
        preNorm = LayerNorm(
            gain: weights.preNormWeight, bias: weights.preNormBias, eps: configuration.eps)
        layers = concurrentMap(weights.layers.count) {
            // In int8 there are no hidden states, so the last block answers class tokens alone.
            TransformerLayer(
                weights.layers[$0], shape: shape, options: options,
                answersFew: $0 == weights.layers.count - 1)
        }
        head = TowerHead(
            norm: LayerNorm(
                gain: weights.postNormWeight, bias: weights.postNormBias, eps: configuration.eps),
            projection: configuration.projection == nil ? nil : weights.projection, width: width,
            outputs: configuration.projection, options: options)
    }

    /// Values in an embedding.
    public var embeddingWidth: Int { configuration.embeddingWidth }

    /// Memory that the weights take, the gradients' transposes included.
    public var bytes: Int {
        patches.bytes + head.bytes + layers.reduce(0) { $0 + $1.bytes } + 8 * configuration.width
    }

    /// Whether ``gradients(_:workspace:dEmbedding:)`` can be asked for.
    public var hasGradients: Bool { options.hasGradients }

    /// Images that are worth computing together: enough rows to read each weight seldom, few enough
    /// to stay in the caches. 1 on OpenBLAS, whose results depend on the number of rows.
    public var preferredGroup: Int {
        options.backend == .openblas ? 1 : min(max(400 / configuration.tokens, 1), 8)
    }

    /// Memory for one thread.
    ///
    /// - Parameters:
    ///   - capacity: images in the largest group, 1 on OpenBLAS.
    ///   - slots: places of the team whose seats the workspace will be given.
    ///   - activationBudget: bytes that a gradient's kept activations may take; beyond it they are
    ///     recomputed layer by layer.
    public func makeWorkspace(
        capacity: Int = 1, slots: Int = 1, activationBudget: Int = .max
    ) -> VisionWorkspace {
        VisionWorkspace(
            configuration, options: options,
            capacity: options.backend == .openblas ? 1 : max(capacity, 1), slots: slots,
            budget: activationBudget)
    }

    /// The embedding of one image; see ``embed(images:workspace:)``.
    public func embed(
        _ pixels: [Float], workspace: VisionWorkspace
    ) throws(EncoderError) -> [Float] {
        try embed(images: [pixels], workspace: workspace)[0]
    }

    /// Embeddings of a group of images, [embeddingWidth] each, not normalised.
    ///
    /// Of the last block only the class tokens are computed.
    ///
    /// - Parameter images: [3, S, S] each, normalised as the model's preprocessing does; up to the
    ///   workspace's capacity.
    /// - Throws: `EncoderError.image` when the number of pixels is not the model's.
    public func embed(
        images: [[Float]], workspace: VisionWorkspace
    ) throws(EncoderError) -> [[Float]] {
        try check(images, workspace)
        guard !images.isEmpty else { return [] }
        let blocks = workspace.blocks
        let meter = workspace.meter
        let (all, pooled) = rows(images.count, blocks)
        let stream = blocks.stream(rows: all.count)
        embedPatches(images, into: stream, workspace)
        meter.time(.norms) {
            preNorm.forward(stream, into: Block(stream), seat: workspace.seat)
        }
        for (index, layer) in layers.enumerated() {
            let own = index == layers.count - 1 ? pooled : all
            layer.forward(
                blocks.sharedState(own), rows: own, scratch: blocks.scratch, meter: meter)
        }
        return meter.time(.pooling) {
            head.forward(
                blocks.pooled(count: images.count), workspace.head, keeping: nil,
                seat: workspace.seat)
        }
    }

    /// The residual stream before the first block (after the first norm) and after every block:
    /// [layers + 1] states of [T, W], class token first, without the final norm.
    ///
    /// - Throws: `EncoderError.image` when the number of pixels is not the model's,
    ///   `.unsupported` for a tower in int8.
    public func hiddenStates(
        _ pixels: [Float], workspace: VisionWorkspace
    ) throws(EncoderError) -> [[Float]] {
        try check([pixels], workspace)
        try options.precision.checkHiddenStates()
        let blocks = workspace.blocks
        let (all, _) = rows(1, blocks)
        let stream = blocks.stream(rows: all.count)
        embedPatches([pixels], into: stream, workspace)
        preNorm.forward(stream, into: Block(stream), seat: workspace.seat)
        var states = [stream.array()]
        for layer in layers {
            layer.forward(
                blocks.sharedState(all), rows: all, scratch: blocks.scratch, meter: workspace.meter)
            states.append(stream.array())
        }
        return states
    }

    /// The gradient of one image; see ``gradients(_:workspace:dEmbedding:)``.
    public func gradient(
        _ pixels: [Float], workspace: VisionWorkspace, dEmbedding: ([Float]) -> [Float]
    ) throws(EncoderError) -> (embedding: [Float], dPixels: [Float]) {
        let result = try gradients([pixels], workspace: workspace) { _, embedding in
            dEmbedding(embedding)
        }
        return result[0]
    }

    /// The embeddings of a group of images, the same bits as `embed` gives, and the gradient of a loss
    /// on each with respect to its pixels.
    ///
    /// The forward keeps every layer's state, or recomputes it, as the workspace's budget has it. The
    /// backward computes gradients of activations only.
    ///
    /// - Parameters:
    ///   - images: [3, S, S] each, normalised; up to the workspace's capacity.
    ///   - dEmbedding: gets an image's index in the group and its embedding, returns
    ///     d(loss)/d(embedding) of the same length.
    /// - Returns: for each image the embedding and d(loss)/d(pixels), [3, S, S].
    /// - Throws: `EncoderError.image` when the number of pixels is not the model's, `.unsupported`
    ///   for a tower that was loaded without gradients.
    public func gradients(
        _ images: [[Float]], workspace: VisionWorkspace, dEmbedding: (Int, [Float]) -> [Float]
    ) throws(EncoderError) -> [(embedding: [Float], dPixels: [Float])] {
        try check(images, workspace)
        guard hasGradients else {
            throw .unsupported(
                what: "gradient", expected: "a tower in f32 or bf16 with gradients",
                actual: options.precision == .int8 ? "one in int8" : "one without gradients")
        }
        guard !images.isEmpty else { return [] }
        workspace.prepareForGradients()
        let blocks = workspace.blocks
        let tape = workspace.gradientTape
        let meter = workspace.meter
        let seat = workspace.seat
        let (all, pooled) = rows(images.count, blocks)
        let embedded = tape.embedded.view.rows(0..<all.count)
        let preNormStatistics = NormStatistics(tape.preNorm.view)
        embedPatches(images, into: embedded, workspace)
        meter.time(.norms) {
            preNorm.forward(
                embedded, into: Block(blocks.keptStream(0, rows: all.count)),
                keeping: preNormStatistics, seat: seat)
        }
        func own(_ layer: Int) -> LayerRows { layer == layers.count - 1 ? pooled : all }
        for (index, layer) in layers.enumerated() {
            layer.forward(
                blocks.keptState(layer: index, own(index)), rows: own(index),
                scratch: blocks.scratch, meter: meter)
        }
        let classTokens = blocks.pooled(count: images.count)
        let postNormStatistics = NormStatistics(tape.postNorm.view)
        let dClassTokens = blocks.pooledGradient(count: images.count)
        let embeddings = meter.time(.pooling) {
            let embeddings = head.forward(
                classTokens, workspace.head, keeping: postNormStatistics, seat: seat)
            head.backward(
                embeddings.enumerated().map { dEmbedding($0.offset, $0.element) }, workspace.head,
                pooled: classTokens, statistics: postNormStatistics, into: dClassTokens,
                seat: seat)
            blocks.setFactor(dClassTokens)
            return embeddings
        }
        let d = blocks.streamGradient(rows: all.count)
        for (index, layer) in layers.enumerated().reversed() {
            let isLast = index == layers.count - 1
            let state = blocks.keptState(layer: index, own(index))
            if blocks.recomputes, !isLast {
                layer.forward(state, rows: own(index), scratch: blocks.scratch, meter: meter)
            }
            layer.backward(
                isLast ? dClassTokens : d, into: d, state: state, rows: own(index),
                scratch: blocks.scratch, meter: meter)
        }
        meter.time(.normsBackward) {
            preNorm.backward(
                d, x: embedded, statistics: preNormStatistics, into: d, accumulate: false,
                seat: seat)
        }
        let dPixels = meter.time(.patchEmbeddingBackward) {
            patches.backward(
                d, count: images.count, factor: tape.factor.view, dPatches: tape.dPatches.view,
                seat: seat)
        }
        return zip(embeddings, dPixels).map { (embedding: $0, dPixels: $1) }
    }

    private func embedPatches(_ images: [[Float]], into tokens: Rows, _ workspace: VisionWorkspace)
    {
        workspace.meter.time(.patchEmbedding) {
            patches.forward(
                images, into: tokens, patches: workspace.patches.view,
                projected: workspace.projected.view, seat: workspace.seat)
        }
    }

    /// The rows of a group's blocks: all, and the class tokens alone for the last block.
    private func rows(
        _ count: Int, _ blocks: TransformerWorkspace
    ) -> (all: LayerRows, pooled: LayerRows) {
        let tokens = configuration.tokens
        blocks.sequences.removeAll()
        blocks.pooledSequences.removeAll()
        for image in 0..<count {
            let own = image * tokens..<(image + 1) * tokens
            blocks.sequences.append(queries: own, position: 0, own: own)
            blocks.pooledSequences.append(queries: image..<image + 1, position: 0, own: own)
        }
        return (
            LayerRows(sequences: blocks.sequences, count: count * tokens, queries: nil),
            LayerRows(
                sequences: blocks.pooledSequences, count: count * tokens,
                queries: (0..<count).map { $0 * tokens })
        )
    }

    private func check(
        _ images: [[Float]], _ workspace: VisionWorkspace
    ) throws(EncoderError) {
        precondition(
            workspace.configuration == configuration && workspace.options == options,
            "the workspace of another tower")
        precondition(images.count <= workspace.capacity, "more images than the workspace holds")
        let size = configuration.imageSize
        for pixels in images where pixels.count != 3 * size * size {
            throw .image(
                expected: "[3, \(size), \(size)] values", actual: "\(pixels.count) values")
        }
    }
}

extension Precision {
    /// - Throws: `EncoderError.unsupported` in int8, whose states are good for scores alone.
    func checkHiddenStates() throws(EncoderError) {
        guard self != .int8 else {
            throw .unsupported(
                what: "hidden states", expected: "a tower in f32 or bf16", actual: "one in int8")
        }
    }
}
