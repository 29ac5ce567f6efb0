import Encoders
import Testing

/// Small towers of odd sizes with random weights.
struct VisionCase: Sendable, CustomTestStringConvertible {
    let name: String
    let configuration: VisionConfiguration

    init(
        _ name: String, width: Int, layers: Int, heads: Int, mlp: Int, patch: Int, image: Int,
        _ activation: Activation, eps: Float = 1e-5, projection: Int?
    ) {
        self.name = name
        configuration = VisionConfiguration(
            width: width, layers: layers, heads: heads, mlpWidth: mlp, patchSize: patch,
            imageSize: image, activation: activation, eps: eps, projection: projection)
    }

    var testDescription: String { name }

    static let all = [
        VisionCase(
            "patch 7, resolution 35, width 30", width: 30, layers: 3, heads: 3, mlp: 50, patch: 7,
            image: 35, .quickGELU, projection: 19),
        VisionCase(
            "one head, one layer, erf-GELU", width: 24, layers: 1, heads: 1, mlp: 96, patch: 8,
            image: 32, .gelu, eps: 1e-3, projection: 16),
        VisionCase(
            "no projection, tanh-GELU", width: 33, layers: 2, heads: 11, mlp: 17, patch: 4,
            image: 16, .geluTanh, eps: 1e-6, projection: nil),
        VisionCase(
            "image no multiple of the patch", width: 32, layers: 2, heads: 2, mlp: 128, patch: 6,
            image: 22, .quickGELU, projection: 8),
        VisionCase(
            "a single patch", width: 16, layers: 2, heads: 4, mlp: 64, patch: 9, image: 9, .gelu,
            projection: 5),
    ]

    func weights(seed: Int) -> VisionWeights {
        let c = configuration
        var random = TowerRandom(seed)
        return VisionWeights(
            patchEmbedding: random.floats(c.width * 3 * c.patchSize * c.patchSize, scale: 0.2),
            classEmbedding: random.floats(c.width),
            positionEmbedding: random.floats(c.tokens * c.width, scale: 0.5),
            preNormWeight: random.floats(c.width, scale: 0.3, center: 1),
            preNormBias: random.floats(c.width, scale: 0.3),
            layers: randomLayers(c.layers, width: c.width, mlp: c.mlpWidth, &random),
            postNormWeight: random.floats(c.width, scale: 0.3, center: 1),
            postNormBias: random.floats(c.width, scale: 0.3),
            projection: c.projection.map { random.floats($0 * c.width, scale: 0.4) })
    }

    func pixels(seed: Int) -> [Float] {
        var random = TowerRandom(seed)
        return random.floats(3 * configuration.imageSize * configuration.imageSize, scale: 1.5)
    }

    func tower(
        seed: Int = 1, _ options: ComputeOptions = ComputeOptions()
    ) throws -> CLIPImageTower {
        try CLIPImageTower(
            configuration: configuration, weights: weights(seed: seed), options: options)
    }
}

struct TextCase: Sendable, CustomTestStringConvertible {
    let name: String
    let configuration: TextConfiguration

    init(
        _ name: String, width: Int, layers: Int, heads: Int, mlp: Int, context: Int,
        _ activation: Activation, eps: Float = 1e-5, pooling: TextPooling, projection: Int?
    ) {
        self.name = name
        configuration = TextConfiguration(
            vocabularySize: 61, width: width, layers: layers, heads: heads, mlpWidth: mlp,
            contextLength: context, activation: activation, eps: eps, pooling: pooling,
            startToken: 58, endToken: pooling == .highestToken ? 60 : 40, padToken: 0,
            projection: projection)
    }

    var testDescription: String { name }

    static let all = [
        TextCase(
            "width 30, first end token", width: 30, layers: 3, heads: 3, mlp: 50, context: 13,
            .quickGELU, pooling: .firstEnd, projection: 19),
        TextCase(
            "one head, highest token, erf-GELU", width: 20, layers: 2, heads: 1, mlp: 80,
            context: 21, .gelu, eps: 1e-3, pooling: .highestToken, projection: 32),
        TextCase(
            "no projection, tanh-GELU, one layer", width: 48, layers: 1, heads: 4, mlp: 33,
            context: 77, .geluTanh, pooling: .firstEnd, projection: nil),
    ]

    func weights(seed: Int) -> TextWeights {
        let c = configuration
        var random = TowerRandom(seed)
        return TextWeights(
            tokenEmbedding: random.floats(c.vocabularySize * c.width),
            positionEmbedding: random.floats(c.contextLength * c.width, scale: 0.5),
            layers: randomLayers(c.layers, width: c.width, mlp: c.mlpWidth, &random),
            finalNormWeight: random.floats(c.width, scale: 0.3, center: 1),
            finalNormBias: random.floats(c.width, scale: 0.3),
            projection: c.projection.map { random.floats($0 * c.width, scale: 0.4) })
    }

    /// Start, `content` random tokens, end, and padding up to `padded` positions.
    func tokens(content: Int, padded: Int = 0, pad: Int32? = nil, seed: Int) -> [Int32] {
        var random = TowerRandom(seed)
        let c = configuration
        var ids = [c.startToken]
        for _ in 0..<content { ids.append(Int32.random(in: 0..<40, using: &random)) }
        ids.append(c.endToken)
        while ids.count < padded { ids.append(pad ?? c.padToken) }
        return ids
    }

    func tower(seed: Int = 1, _ options: ComputeOptions = ComputeOptions()) throws -> CLIPTextTower
    {
        try CLIPTextTower(
            configuration: configuration, weights: weights(seed: seed), options: options)
    }
}

func randomLayers(
    _ count: Int, width: Int, mlp: Int, _ random: inout TowerRandom
) -> [LayerWeights] {
    let scale = 1.5 / Float(width).squareRoot()
    return (0..<count).map { _ in
        LayerWeights(
            attentionNormWeight: random.floats(width, scale: 0.3, center: 1),
            attentionNormBias: random.floats(width, scale: 0.3),
            qkvWeight: random.floats(3 * width * width, scale: scale),
            qkvBias: random.floats(3 * width, scale: 0.3),
            outWeight: random.floats(width * width, scale: scale),
            outBias: random.floats(width, scale: 0.3),
            mlpNormWeight: random.floats(width, scale: 0.3, center: 1),
            mlpNormBias: random.floats(width, scale: 0.3),
            fc1Weight: random.floats(mlp * width, scale: scale),
            fc1Bias: random.floats(mlp, scale: 0.3),
            fc2Weight: random.floats(width * mlp, scale: 1.5 / Float(mlp).squareRoot()),
            fc2Bias: random.floats(width, scale: 0.3))
    }
}

/// A loss with a gradient that depends on the embedding: Σ cᵢ·eᵢ + ½ Σ eᵢ².
struct TestLoss: Sendable {
    let c: [Float]

    init(width: Int, seed: Int) {
        var random = TowerRandom(seed)
        c = random.floats(width)
    }

    func value(_ embedding: [Double]) -> Double {
        zip(c, embedding).reduce(0) { $0 + Double($1.0) * $1.1 + 0.5 * $1.1 * $1.1 }
    }

    func gradient(_ embedding: [Float]) -> [Float] { zip(c, embedding).map { $0 + $1 } }
}

extension ImageTower {
    /// The stream before the first block and after every block, [layers + 1] of [T, W].
    func hiddenStates(_ pixels: [Float], workspace: any ImageWorkspace) throws -> [[Float]] {
        try (0...sizes.layers).map {
            try hiddenStates([pixels], after: $0, workspace: workspace)[0]
        }
    }
}
