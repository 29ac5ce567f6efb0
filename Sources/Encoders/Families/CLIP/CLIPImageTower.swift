import System

/// CLIP's image tower: a vision transformer whose class token, projected, is the image's embedding.
///
/// Of the last block an embedding needs the class token's query, attention and MLP alone.
public final class CLIPImageTower: ImageTower {
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

    public var sizes: ImageTowerSizes { configuration.sizes }

    public var bytes: Int {
        patches.bytes + head.bytes + layers.reduce(0) { $0 + $1.bytes } + 8 * configuration.width
    }

    public var gradientWeightBytes: Int {
        patches.gradientBytes + head.gradientBytes + layers.reduce(0) { $0 + $1.gradientBytes }
    }

    /// 1 on OpenBLAS, whose results depend on the number of rows.
    public var preferredGroup: Int {
        options.backend == .openblas ? 1 : min(max(400 / configuration.tokens, 1), 8)
    }

    public var workspaceKind: WorkspaceKind {
        WorkspaceKind(Kind(configuration: configuration, options: options))
    }

    private struct Kind: Hashable {
        let configuration: VisionConfiguration
        let options: ComputeOptions
    }

    public func makeWorkspace(
        capacity: Int, slots: Int, activationBudget: Int
    ) -> any ImageWorkspace {
        CLIPImageWorkspace(
            configuration, options: options,
            capacity: options.backend == .openblas ? 1 : max(capacity, 1), slots: slots,
            budget: activationBudget)
    }

    public func gradientBytes(capacity: Int, slots: Int, recomputes: Bool) -> Int {
        CLIPImageWorkspace.gradientBytes(
            configuration, precision: options.precision, capacity: capacity, slots: slots,
            recomputes: recomputes)
    }

    public var forwardFLOPs: Int { configuration.forwardFLOPs }
    public var gradientFLOPs: Int { configuration.gradientFLOPs }

    public func embed(
        images: [[Float]], workspace: any ImageWorkspace
    ) throws(EncoderError) -> [[Float]] {
        let workspace = try begin(images, workspace)
        guard !images.isEmpty else { return [] }
        let blocks = workspace.blocks
        let (all, pooled) = rows(images.count, blocks)
        embed(images, into: blocks.stream(rows: all.count), workspace)
        for (index, layer) in layers.enumerated() {
            let own = index == layers.count - 1 ? pooled : all
            layer.forward(
                blocks.sharedState(own), rows: own, scratch: blocks.scratch, meter: workspace.meter)
        }
        return workspace.meter.time(.pooling) {
            head.forward(
                blocks.pooled(count: images.count), workspace.head, keeping: nil,
                seat: workspace.seat)
        }
    }

    public func hiddenStates(
        _ images: [[Float]], after layer: Int, workspace: any ImageWorkspace
    ) throws(EncoderError) -> [[Float]] {
        let workspace = try begin(images, workspace)
        try options.precision.checkHiddenStates()
        precondition((0...layers.count).contains(layer), "no such state")
        guard !images.isEmpty else { return [] }
        let blocks = workspace.blocks
        let (all, _) = rows(images.count, blocks)
        let stream = blocks.stream(rows: all.count)
        embed(images, into: stream, workspace)
        for block in layers.prefix(layer) {
            block.forward(
                blocks.sharedState(all), rows: all, scratch: blocks.scratch, meter: workspace.meter)
        }
        return images.indices.map { stream.rows(of: $0, among: images.count).array() }
    }

    public func forward(
        _ images: [[Float]], to output: TowerOutput, workspace: any ImageWorkspace
    ) throws(EncoderError) -> ImageTape {
        let workspace = try begin(images, workspace)
        guard hasGradients else {
            throw .unsupported(
                what: "gradient", expected: "a tower in f32 or bf16 with gradients",
                actual: options.precision == .int8 ? "one in int8" : "one without gradients")
        }
        guard !images.isEmpty else {
            return ImageTape(output: output, values: [], run: workspace.run)
        }
        workspace.prepareForGradients()
        let blocks = workspace.blocks
        let (all, pooled) = rows(images.count, blocks)
        embed(
            images, into: blocks.keptStream(0, rows: all.count),
            keeping: workspace.gradientTape.embedded.view.rows(0..<all.count), workspace)
        let depth = depth(of: output)
        for (index, layer) in layers.prefix(depth).enumerated() {
            let own = answers(output, layer: index) == .pooled ? pooled : all
            layer.forward(
                blocks.keptState(layer: index, own), rows: own, scratch: blocks.scratch,
                meter: workspace.meter)
        }
        let values: [[Float]]
        switch output {
        case .embedding:
            values = workspace.meter.time(.pooling) {
                head.forward(
                    blocks.pooled(count: images.count), workspace.head,
                    keeping: NormStatistics(workspace.gradientTape.postNorm.view),
                    seat: workspace.seat)
            }
        case .states:
            let states = blocks.keptStream(depth, rows: all.count)
            values = images.indices.map { states.rows(of: $0, among: images.count).array() }
        }
        return ImageTape(output: output, values: values, run: workspace.run)
    }

    public func pullback(
        _ dOutputs: [[Float]], through tape: ImageTape, workspace: any ImageWorkspace
    ) -> [[Float]] {
        let workspace = own(workspace)
        precondition(tape.run == workspace.run, "the workspace was used since the forward")
        precondition(dOutputs.count == tape.values.count, "one gradient an image")
        guard !dOutputs.isEmpty else { return [] }
        workspace.beginRun()
        let count = dOutputs.count
        let blocks = workspace.blocks
        let (all, pooled) = rows(count, blocks)
        let d = blocks.streamGradient(rows: all.count)
        let dTop = workspace.meter.time(.pooling) {
            let dTop: Rows
            switch tape.output {
            case .embedding:
                dTop = blocks.pooledGradient(count: count)
                head.backward(
                    dOutputs, workspace.head, pooled: blocks.pooled(count: count),
                    statistics: NormStatistics(workspace.gradientTape.postNorm.view), into: dTop,
                    seat: workspace.seat)
            case .states:
                dTop = d
                for (index, dStates) in dOutputs.enumerated() {
                    d.rows(of: index, among: count).copy(from: dStates)
                }
            }
            blocks.setFactor(dTop)
            return dTop
        }
        let depth = depth(of: tape.output)
        for (index, layer) in layers.prefix(depth).enumerated().reversed() {
            let isTop = index == depth - 1
            let own = answers(tape.output, layer: index) == .pooled ? pooled : all
            let state = blocks.keptState(layer: index, own)
            // The forward left the topmost layer's state in any case.
            if blocks.recomputes, !isTop {
                layer.forward(state, rows: own, scratch: blocks.scratch, meter: workspace.meter)
            }
            layer.backward(
                isTop ? dTop : d, into: d, state: state, rows: own, scratch: blocks.scratch,
                meter: workspace.meter)
        }
        return unembed(d, count: count, workspace)
    }

    /// Blocks that an output stands behind.
    private func depth(of output: TowerOutput) -> Int {
        guard case .states(let after) = output else { return layers.count }
        precondition((0...layers.count).contains(after), "no such state")
        return after
    }

    private enum Answers { case all, pooled }

    /// Which rows of a layer's output are wanted.
    private func answers(_ output: TowerOutput, layer: Int) -> Answers {
        output == .embedding && layer == layers.count - 1 ? .pooled : .all
    }

    /// The stream before the first block; what its norm gets and finds is kept when it is asked for.
    private func embed(
        _ images: [[Float]], into stream: Rows, keeping embedded: Rows? = nil,
        _ workspace: CLIPImageWorkspace
    ) {
        let tokens = embedded ?? stream
        workspace.meter.time(.patchEmbedding) {
            patches.forward(
                images, into: tokens, patches: workspace.patches.view,
                projected: workspace.projected.view, seat: workspace.seat)
        }
        workspace.meter.time(.norms) {
            preNorm.forward(
                tokens, into: Block(stream),
                keeping: embedded.map { _ in NormStatistics(workspace.gradientTape.preNorm.view) },
                seat: workspace.seat)
        }
    }

    /// d(loss)/d(pixels) from the gradient of the stream before the first block.
    private func unembed(_ d: Rows, count: Int, _ workspace: CLIPImageWorkspace) -> [[Float]] {
        let tape = workspace.gradientTape
        workspace.meter.time(.normsBackward) {
            preNorm.backward(
                d, x: tape.embedded.view.rows(0..<d.rows),
                statistics: NormStatistics(tape.preNorm.view), into: d, accumulate: false,
                seat: workspace.seat)
        }
        return workspace.meter.time(.patchEmbeddingBackward) {
            patches.backward(
                d, count: count, factor: tape.factor.view, dPatches: tape.dPatches.view,
                seat: workspace.seat)
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

    /// This tower's own workspace, whose earlier tapes are void from now on.
    private func begin(
        _ images: [[Float]], _ workspace: any ImageWorkspace
    ) throws(EncoderError) -> CLIPImageWorkspace {
        let workspace = own(workspace)
        precondition(images.count <= workspace.capacity, "more images than the workspace holds")
        let size = configuration.imageSize
        for pixels in images where pixels.count != 3 * size * size {
            throw .image(
                expected: "[3, \(size), \(size)] values", actual: "\(pixels.count) values")
        }
        workspace.beginRun()
        return workspace
    }

    private func own(_ workspace: any ImageWorkspace) -> CLIPImageWorkspace {
        guard let own = workspace as? CLIPImageWorkspace, own.configuration == configuration,
            own.options == options
        else { preconditionFailure("the workspace of another tower") }
        return own
    }
}

extension Rows {
    /// One item's share of the rows of `count` items.
    fileprivate func rows(of item: Int, among count: Int) -> Rows {
        let own = rows / count
        return rows(item * own..<(item + 1) * own)
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
