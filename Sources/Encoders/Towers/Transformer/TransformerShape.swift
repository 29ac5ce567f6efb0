/// The sizes that both towers' blocks share.
struct TransformerShape: Sendable {
    let width: Int
    let layers: Int
    let heads: Int
    let mlpWidth: Int
    /// The most rows that a tower runs at once.
    let tokens: Int
    let activation: Activation
    let eps: Float
    let isCausal: Bool

    init(_ vision: VisionConfiguration) {
        width = vision.width
        layers = vision.layers
        heads = vision.heads
        mlpWidth = vision.mlpWidth
        tokens = vision.tokens
        activation = vision.activation
        eps = vision.eps
        isCausal = false
    }

    init(_ text: TextConfiguration) {
        width = text.width
        layers = text.layers
        heads = text.heads
        mlpWidth = text.mlpWidth
        tokens = text.contextLength
        activation = text.activation
        eps = text.eps
        isCausal = true
    }

    /// Multiply-adds of the products in one block over `tokens` rows, of which `queries` are answered.
    func multiplyAdds(tokens: Int, queries: Int) -> Int {
        let perQuery = 2 * width * width + 2 * width * mlpWidth
        let keysAndValues = tokens * 2 * width * width
        return keysAndValues + queries * perQuery + 2 * queries * tokens * width
    }

    /// Multiply-adds of all blocks when only `pooled` rows of the last are needed.
    func multiplyAdds(tokens: Int, pooled: Int) -> Int {
        guard layers > 0 else { return 0 }
        return (layers - 1) * multiplyAdds(tokens: tokens, queries: tokens)
            + multiplyAdds(tokens: tokens, queries: pooled)
    }
}

/// Checks a tower's weights against its configuration: a wrong count is an error that names the
/// tensor, never a read out of bounds.
struct WeightCheck {
    /// Which tower, for messages.
    let tower: String

    /// `shape`'s product must be `values.count`.
    func check(_ name: String, _ values: [Float], _ shape: [Int]) throws(EncoderError) {
        var expected: Int? = 1
        for size in shape {
            guard let soFar = expected, size >= 0 else { break }
            let (product, overflow) = soFar.multipliedReportingOverflow(by: size)
            expected = overflow ? nil : product
        }
        guard values.count == expected else {
            throw .tensor(
                path: tower, name: name, expected: "shape \(shape)",
                actual: "\(values.count) values")
        }
    }

    func check(_ shape: TransformerShape) throws(EncoderError) {
        // Large enough for every published model, small enough for products of four to fit an Int
        // and each to fit the 32-bit sizes of the matrix libraries.
        let sizes = [
            ("width", shape.width), ("heads", shape.heads), ("mlp width", shape.mlpWidth),
            ("tokens", shape.tokens),
        ]
        for (name, size) in sizes where !(1...65_536).contains(size) {
            throw .configuration(
                path: tower, field: name, expected: "1…65536", actual: "\(size)")
        }
        guard shape.width % shape.heads == 0 else {
            throw .configuration(
                path: tower, field: "heads", expected: "a divisor of the width \(shape.width)",
                actual: "\(shape.heads)")
        }
        guard (1...1024).contains(shape.layers) else {
            throw .configuration(
                path: tower, field: "layers", expected: "1…1024", actual: "\(shape.layers)")
        }
    }

    func check(_ layers: [LayerWeights], _ shape: TransformerShape) throws(EncoderError) {
        guard layers.count == shape.layers else {
            throw .configuration(
                path: tower, field: "layers", expected: "\(shape.layers)",
                actual: "the weights of \(layers.count)")
        }
        let width = shape.width
        let mlp = shape.mlpWidth
        for (index, layer) in layers.enumerated() {
            let name = "layer \(index): "
            try check(name + "attention norm weight", layer.attentionNormWeight, [width])
            try check(name + "attention norm bias", layer.attentionNormBias, [width])
            try check(name + "qkv weight", layer.qkvWeight, [3 * width, width])
            try check(name + "qkv bias", layer.qkvBias, [3 * width])
            try check(name + "out weight", layer.outWeight, [width, width])
            try check(name + "out bias", layer.outBias, [width])
            try check(name + "mlp norm weight", layer.mlpNormWeight, [width])
            try check(name + "mlp norm bias", layer.mlpNormBias, [width])
            try check(name + "fc1 weight", layer.fc1Weight, [mlp, width])
            try check(name + "fc1 bias", layer.fc1Bias, [mlp])
            try check(name + "fc2 weight", layer.fc2Weight, [width, mlp])
            try check(name + "fc2 bias", layer.fc2Bias, [width])
        }
    }
}
