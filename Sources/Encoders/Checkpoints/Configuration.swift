/// Which position of the text tower's last layer becomes the pooled vector.
public enum TextPooling: String, Sendable, Equatable {
    /// The position with the highest token id (OpenAI, open_clip; transformers when its
    /// `eos_token_id` is 2); the first one on a tie.
    case highestToken = "highest_token"
    /// The first end-of-text token.
    case firstEnd = "first_end"
}

/// Sizes and constants of a text tower, range-checked where they come from outside.
public struct TextConfiguration: Sendable, Hashable {
    public var vocabularySize: Int
    /// Width of the hidden states; a multiple of `heads`.
    public var width: Int
    public var layers: Int
    public var heads: Int
    /// Width between the two matrices of the MLP.
    public var mlpWidth: Int
    /// Number of positions, start and end token included.
    public var contextLength: Int
    public var activation: Activation
    /// Added to the variance in every layer norm.
    public var eps: Float
    public var pooling: TextPooling
    public var startToken: Int32
    public var endToken: Int32
    /// What fills the positions after the end token when hidden states are asked for.
    public var padToken: Int32
    /// Width of the joint space; `nil` for a tower without a projection.
    public var projection: Int?

    public init(
        vocabularySize: Int, width: Int, layers: Int, heads: Int, mlpWidth: Int,
        contextLength: Int, activation: Activation, eps: Float, pooling: TextPooling,
        startToken: Int32, endToken: Int32, padToken: Int32, projection: Int?
    ) {
        self.vocabularySize = vocabularySize
        self.width = width
        self.layers = layers
        self.heads = heads
        self.mlpWidth = mlpWidth
        self.contextLength = contextLength
        self.activation = activation
        self.eps = eps
        self.pooling = pooling
        self.startToken = startToken
        self.endToken = endToken
        self.padToken = padToken
        self.projection = projection
    }

    /// Width of an embedding: the projection's, or the hidden states' without one.
    public var embeddingWidth: Int { projection ?? width }

    public var sizes: TextTowerSizes {
        TextTowerSizes(
            vocabularySize: vocabularySize, contextLength: contextLength, width: width,
            layers: layers, heads: heads, projection: projection, startToken: startToken,
            endToken: endToken, padToken: padToken)
    }
}

/// Sizes and constants of an image tower, range-checked where they come from outside.
public struct VisionConfiguration: Sendable, Hashable {
    /// Width of the hidden states; a multiple of `heads`.
    public var width: Int
    public var layers: Int
    public var heads: Int
    /// Width between the two matrices of the MLP.
    public var mlpWidth: Int
    /// Side of a square patch, pixels.
    public var patchSize: Int
    /// Side of the square input, pixels; at least one patch.
    public var imageSize: Int
    public var activation: Activation
    /// Added to the variance in every layer norm.
    public var eps: Float
    /// Width of the joint space; `nil` for a tower without a projection.
    public var projection: Int?

    public init(
        width: Int, layers: Int, heads: Int, mlpWidth: Int, patchSize: Int, imageSize: Int,
        activation: Activation, eps: Float, projection: Int?
    ) {
        self.width = width
        self.layers = layers
        self.heads = heads
        self.mlpWidth = mlpWidth
        self.patchSize = patchSize
        self.imageSize = imageSize
        self.activation = activation
        self.eps = eps
        self.projection = projection
    }

    /// Patches along one side. When the image is no multiple of the patch, the right and bottom
    /// remainder is not looked at (as a convolution without padding does).
    public var grid: Int { imageSize / patchSize }
    /// Patches and the class token.
    public var tokens: Int { grid * grid + 1 }
    /// Width of an embedding: the projection's, or the hidden states' without one.
    public var embeddingWidth: Int { projection ?? width }

    public var sizes: ImageTowerSizes {
        ImageTowerSizes(
            imageSize: imageSize, patchSize: patchSize, tokens: tokens, width: width,
            layers: layers, heads: heads, projection: projection)
    }
}

/// How a checkpoint spells its tensors and stores its matrices.
public enum CheckpointLayout: String, Sendable, Equatable {
    case transformers
    case openCLIP = "open_clip"
}

/// What a checkpoint says about itself: one tower or both, and how it is stored.
public struct CLIPConfiguration: Sendable, Equatable {
    public var layout: CheckpointLayout
    public var text: TextConfiguration?
    public var vision: VisionConfiguration?
    /// ln of the scale a model without a stored `logit_scale` starts from: CLIP's ln(1/0.07).
    public var initialLogitScale: Double

    public init(
        layout: CheckpointLayout, text: TextConfiguration?, vision: VisionConfiguration?,
        initialLogitScale: Double = 2.6592
    ) {
        self.layout = layout
        self.text = text
        self.vision = vision
        self.initialLogitScale = initialLogitScale
    }
}
