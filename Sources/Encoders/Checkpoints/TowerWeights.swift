/// The weights of one transformer block, in fp32.
///
/// Matrices are row-major [out, in]: y = W·x + b. W is the tower's width, M its MLP's.
public struct LayerWeights: Sendable, Equatable {
    /// [W], before the attention.
    public var attentionNormWeight: [Float]
    public var attentionNormBias: [Float]
    /// [3W, W]: the rows of q, then k, then v.
    public var qkvWeight: [Float]
    public var qkvBias: [Float]
    /// [W, W].
    public var outWeight: [Float]
    public var outBias: [Float]
    /// [W], before the MLP.
    public var mlpNormWeight: [Float]
    public var mlpNormBias: [Float]
    /// [M, W].
    public var fc1Weight: [Float]
    public var fc1Bias: [Float]
    /// [W, M].
    public var fc2Weight: [Float]
    public var fc2Bias: [Float]

    public init(
        attentionNormWeight: [Float], attentionNormBias: [Float],
        qkvWeight: [Float], qkvBias: [Float], outWeight: [Float], outBias: [Float],
        mlpNormWeight: [Float], mlpNormBias: [Float],
        fc1Weight: [Float], fc1Bias: [Float], fc2Weight: [Float], fc2Bias: [Float]
    ) {
        self.attentionNormWeight = attentionNormWeight
        self.attentionNormBias = attentionNormBias
        self.qkvWeight = qkvWeight
        self.qkvBias = qkvBias
        self.outWeight = outWeight
        self.outBias = outBias
        self.mlpNormWeight = mlpNormWeight
        self.mlpNormBias = mlpNormBias
        self.fc1Weight = fc1Weight
        self.fc1Bias = fc1Bias
        self.fc2Weight = fc2Weight
        self.fc2Bias = fc2Bias
    }
}

/// The weights of an image tower, in fp32.
///
/// W is the width, P the patch size, T the number of tokens (class token first), D the joint space's
/// width. Matrices are row-major [out, in].
public struct VisionWeights: Sendable, Equatable {
    /// [W, 3·P·P]: the convolution's kernels, each as [channel, row, column].
    public var patchEmbedding: [Float]
    /// [W].
    public var classEmbedding: [Float]
    /// [T, W].
    public var positionEmbedding: [Float]
    /// [W], before the first block.
    public var preNormWeight: [Float]
    public var preNormBias: [Float]
    public var layers: [LayerWeights]
    /// [W], on the class token after the last block.
    public var postNormWeight: [Float]
    public var postNormBias: [Float]
    /// [D, W]; `nil` for a tower without a projection.
    public var projection: [Float]?

    public init(
        patchEmbedding: [Float], classEmbedding: [Float], positionEmbedding: [Float],
        preNormWeight: [Float], preNormBias: [Float], layers: [LayerWeights],
        postNormWeight: [Float], postNormBias: [Float], projection: [Float]?
    ) {
        self.patchEmbedding = patchEmbedding
        self.classEmbedding = classEmbedding
        self.positionEmbedding = positionEmbedding
        self.preNormWeight = preNormWeight
        self.preNormBias = preNormBias
        self.layers = layers
        self.postNormWeight = postNormWeight
        self.postNormBias = postNormBias
        self.projection = projection
    }
}

/// The weights of a text tower, in fp32.
///
/// V is the vocabulary's size, C the context length, W the width, D the joint space's width.
/// Matrices are row-major [out, in].
public struct TextWeights: Sendable, Equatable {
    /// [V, W].
    public var tokenEmbedding: [Float]
    /// [C, W].
    public var positionEmbedding: [Float]
    public var layers: [LayerWeights]
    /// [W], after the last block.
    public var finalNormWeight: [Float]
    public var finalNormBias: [Float]
    /// [D, W]; `nil` for a tower without a projection.
    public var projection: [Float]?

    public init(
        tokenEmbedding: [Float], positionEmbedding: [Float], layers: [LayerWeights],
        finalNormWeight: [Float], finalNormBias: [Float], projection: [Float]?
    ) {
        self.tokenEmbedding = tokenEmbedding
        self.positionEmbedding = positionEmbedding
        self.layers = layers
        self.finalNormWeight = finalNormWeight
        self.finalNormBias = finalNormBias
        self.projection = projection
    }
}
