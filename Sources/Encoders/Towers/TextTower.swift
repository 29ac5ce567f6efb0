internal import CKernels

/// CLIP's text tower: a causal transformer; the end token's last state, projected, is the text's
/// embedding.
///
/// Immutable: any number of threads may use it at once, each with a workspace of its own. The same
/// tokens always give the same bits, whatever else is computed beside them.
public final class TextTower: Sendable {
    public let configuration: TextConfiguration
    /// [V, W]
    private let tokenEmbedding: [Float]
    /// [C, W]
    private let positionEmbedding: [Float]
    private let layers: [TransformerLayer]
    private let finalNorm: LayerNorm
    private let projection: Linear?

    /// - Throws: `EncoderError.tensor` when an array does not have the configuration's size,
    ///   `.configuration` when the sizes themselves cannot be.
    public init(configuration: TextConfiguration, weights: TextWeights) throws(EncoderError) {
        let check = WeightCheck(tower: "text tower")
        let shape = TransformerShape(configuration)
        try check.check(shape)
        let width = configuration.width
        try check.check(
            "token embedding", weights.tokenEmbedding, [configuration.vocabularySize, width])
        try check.check(
            "position embedding", weights.positionEmbedding, [configuration.contextLength, width])
        try check.check("final norm weight", weights.finalNormWeight, [width])
        try check.check("final norm bias", weights.finalNormBias, [width])
        try check.check(weights.layers, shape)
        if let outputs = configuration.projection {
            try check.check("projection", weights.projection ?? [], [outputs, width])
        }

        self.configuration = configuration
        tokenEmbedding = weights.tokenEmbedding
        positionEmbedding = weights.positionEmbedding
        layers = weights.layers.map { TransformerLayer($0, shape: shape) }
        finalNorm = LayerNorm(
            gain: weights.finalNormWeight, bias: weights.finalNormBias, eps: configuration.eps)
        if let outputs = configuration.projection, let matrix = weights.projection {
            projection = Linear(weight: matrix, bias: nil, inputs: width, outputs: outputs)
        } else {
            projection = nil
        }
    }

    /// Values in an embedding.
    public var embeddingWidth: Int { configuration.embeddingWidth }

    /// Memory for one thread.
    public func makeWorkspace() -> TextWorkspace { TextWorkspace(configuration) }

    /// The position whose state is the pooled one: the first end token, or the highest id when the
    /// configuration says so (the first of equals).
    ///
    /// - Throws: `EncoderError.unsupported` when there is no such token.
    public func pooledIndex(_ tokens: [Int32]) throws(EncoderError) -> Int {
        let index =
            switch configuration.pooling {
            case .firstEnd: tokens.firstIndex(of: configuration.endToken)
            case .highestToken:
                // `max(by:)` would return the last of equals.
                tokens.indices.min { (tokens[$1], $0) < (tokens[$0], $1) }
            }
        guard let index else {
            throw .unsupported(
                what: "tokens", expected: "an end token (\(configuration.endToken))",
                actual: "\(tokens.count) tokens without one")
        }
        return index
    }

    /// The embedding of one text, [embeddingWidth], not normalised.
    ///
    /// Tokens after the pooled one cannot reach it, so they are not computed; of the last block only
    /// the pooled position is.
    ///
    /// - Parameter tokens: start token … end token, padded or not.
    /// - Throws: `EncoderError.promptTooLong` for more tokens than the tower has positions,
    ///   `.unsupported` for ids that it does not have, or none.
    public func embed(
        tokens: [Int32], workspace: TextWorkspace
    ) throws(EncoderError) -> [Float] {
        try check(tokens, workspace)
        let pooledIndex = try pooledIndex(tokens)
        let count = pooledIndex + 1
        let blocks = workspace.blocks
        let stream = blocks.stream(tokens: count)
        embedTokens(tokens[0..<count], into: stream)
        let state = blocks.sharedState(tokens: count)
        for (index, layer) in layers.enumerated() {
            layer.forward(
                state, queries: index == layers.count - 1 ? pooledIndex..<count : 0..<count,
                scratch: blocks.scratch)
        }
        let pooled = workspace.pooled.view
        finalNorm.forward(stream.rows(pooledIndex..<count), into: pooled)
        guard let projection else { return pooled.array() }
        let embedding = workspace.embedding.view
        projection.forward(pooled, into: embedding)
        return embedding.array()
    }

    /// Every layer's hidden states, and the last one normalised.
    public struct HiddenStates: Sendable {
        /// The sum of token and position embeddings, then the residual stream after every block:
        /// [layers + 1] states of [tokens, W], none of them normalised.
        public let states: [[Float]]
        /// [tokens, W]: the last of them after the final norm.
        public let normalized: [Float]
    }

    /// Hidden states of one row of tokens, for all its positions.
    ///
    /// - Parameter tokens: at most as many as the context is long; padding is the caller's, and the
    ///   states at padded positions depend on it.
    /// - Throws: `EncoderError.promptTooLong` for more tokens than the tower has positions,
    ///   `.unsupported` for ids that it does not have, or none.
    public func hiddenStates(
        tokens: [Int32], workspace: TextWorkspace
    ) throws(EncoderError) -> HiddenStates {
        try check(tokens, workspace)
        let blocks = workspace.blocks
        let stream = blocks.stream(tokens: tokens.count)
        embedTokens(tokens[...], into: stream)
        let state = blocks.sharedState(tokens: tokens.count)
        var states = [stream.array()]
        for layer in layers {
            layer.forward(state, queries: 0..<tokens.count, scratch: blocks.scratch)
            states.append(stream.array())
        }
        finalNorm.forward(stream, into: stream)
        return HiddenStates(states: states, normalized: stream.array())
    }

    private func embedTokens(_ tokens: ArraySlice<Int32>, into stream: Rows) {
        let width = configuration.width
        tokenEmbedding.withUnsafeBufferPointer { table in
            positionEmbedding.withUnsafeBufferPointer { positions in
                guard let table = table.baseAddress, let positions = positions.baseAddress
                else { return }
                for (position, token) in tokens.enumerated() {
                    gk_add(
                        table + Int(token) * width, positions + position * width,
                        stream.base + position * stream.stride, width)
                }
            }
        }
    }

    private func check(_ tokens: [Int32], _ workspace: TextWorkspace) throws(EncoderError) {
        precondition(workspace.configuration == configuration, "the workspace of another tower")
        guard tokens.count <= configuration.contextLength else {
            throw .promptTooLong(
                tokens: tokens.count, limit: configuration.contextLength, excess: "")
        }
        guard !tokens.isEmpty else {
            throw .unsupported(what: "tokens", expected: "one or more", actual: "none")
        }
        let vocabulary = 0..<Int32(clamping: configuration.vocabularySize)
        if let foreign = tokens.first(where: { !vocabulary.contains($0) }) {
            throw .unsupported(
                what: "tokens", expected: "ids below \(configuration.vocabularySize)",
                actual: "\(foreign)")
        }
    }
}
