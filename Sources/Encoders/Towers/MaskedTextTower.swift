internal import CKernels
import Glibc

/// CLIP's text tower with an attention mask, for the few rows that need one: compel weakens a fragment
/// by hiding it from all other positions.
///
/// Written for clarity: one thread, dot products, no workspace; several times slower than
/// `TextTower`, and independent of it. Immutable, so any number of threads may use it.
public final class MaskedTextTower: Sendable {
    public let configuration: TextConfiguration
    private let weights: TextWeights

    /// - Throws: `EncoderError.tensor` when an array does not have the configuration's size.
    public init(configuration: TextConfiguration, weights: TextWeights) throws(EncoderError) {
        let width = configuration.width
        let mlp = configuration.mlpWidth
        func check(_ name: String, _ values: [Float], _ count: Int) throws(EncoderError) {
            guard values.count == count else {
                throw .tensor(
                    path: "text tower", name: name, expected: "\(count) values",
                    actual: "\(values.count)")
            }
        }
        try check(
            "token embedding", weights.tokenEmbedding, configuration.vocabularySize * width)
        try check(
            "position embedding", weights.positionEmbedding, configuration.contextLength * width)
        try check("final norm weight", weights.finalNormWeight, width)
        try check("final norm bias", weights.finalNormBias, width)
        guard weights.layers.count == configuration.layers else {
            throw .tensor(
                path: "text tower", name: "layers", expected: "\(configuration.layers)",
                actual: "\(weights.layers.count)")
        }
        for (index, layer) in weights.layers.enumerated() {
            for (name, values, count) in [
                ("attention norm weight", layer.attentionNormWeight, width),
                ("attention norm bias", layer.attentionNormBias, width),
                ("qkv weight", layer.qkvWeight, 3 * width * width),
                ("qkv bias", layer.qkvBias, 3 * width),
                ("out weight", layer.outWeight, width * width), ("out bias", layer.outBias, width),
                ("MLP norm weight", layer.mlpNormWeight, width),
                ("MLP norm bias", layer.mlpNormBias, width),
                ("fc1 weight", layer.fc1Weight, mlp * width), ("fc1 bias", layer.fc1Bias, mlp),
                ("fc2 weight", layer.fc2Weight, width * mlp), ("fc2 bias", layer.fc2Bias, width),
            ] {
                try check("layer \(index) \(name)", values, count)
            }
        }
        self.configuration = configuration
        self.weights = weights
    }

    /// Hidden states of one row of tokens for all its positions, as `TextTower.hiddenStates` gives
    /// them, with some positions hidden from all queries.
    ///
    /// - Parameters:
    ///   - tokens: at most as many as the context is long.
    ///   - hiding: positions whose keys have no weight in any softmax. A query that would see none at
    ///     all sees every key up to its own alike, as a row of equal scores does.
    /// - Throws: `EncoderError.promptTooLong` for more tokens than the tower has positions,
    ///   `.unsupported` for ids that it does not have, or none.
    public func hiddenStates(
        tokens: [Int32], hiding hidden: [Int]
    ) throws(EncoderError) -> TextTower.HiddenStates {
        guard tokens.count <= configuration.contextLength else {
            throw .promptTooLong(
                tokens: tokens.count, limit: configuration.contextLength, excess: "")
        }
        guard !tokens.isEmpty else {
            throw .unsupported(what: "tokens", expected: "one or more", actual: "none")
        }
        let width = configuration.width
        var stream: [Float] = []
        stream.reserveCapacity(tokens.count * width)
        for (position, token) in tokens.enumerated() {
            guard token >= 0, Int(token) < configuration.vocabularySize else {
                throw .unsupported(
                    what: "tokens", expected: "ids below \(configuration.vocabularySize)",
                    actual: "\(token)")
            }
            for column in 0..<width {
                stream.append(
                    weights.tokenEmbedding[Int(token) * width + column]
                        + weights.positionEmbedding[position * width + column])
            }
        }
        var isHidden = [Bool](repeating: false, count: tokens.count)
        for position in hidden where isHidden.indices.contains(position) {
            isHidden[position] = true
        }
        var states = [stream]
        for layer in weights.layers {
            block(&stream, layer, isHidden)
            states.append(stream)
        }
        return TextTower.HiddenStates(
            states: states,
            normalized: normalized(stream, weights.finalNormWeight, weights.finalNormBias))
    }

    /// A pre-norm block on the stream [T, W].
    private func block(_ stream: inout [Float], _ layer: LayerWeights, _ isHidden: [Bool]) {
        let width = configuration.width
        let normed = normalized(stream, layer.attentionNormWeight, layer.attentionNormBias)
        let qkv = product(normed, layer.qkvWeight, layer.qkvBias, inputs: width)
        let attended = attention(qkv, isHidden)
        let out = product(attended, layer.outWeight, layer.outBias, inputs: width)
        for index in stream.indices { stream[index] += out[index] }
        let normedAgain = normalized(stream, layer.mlpNormWeight, layer.mlpNormBias)
        var middle = product(normedAgain, layer.fc1Weight, layer.fc1Bias, inputs: width)
        for index in middle.indices { middle[index] = activated(middle[index]) }
        let end = product(middle, layer.fc2Weight, layer.fc2Bias, inputs: configuration.mlpWidth)
        for index in stream.indices { stream[index] += end[index] }
    }

    /// y [T, outputs] = x·Wᵀ + b.
    private func product(
        _ x: [Float], _ weight: [Float], _ bias: [Float], inputs: Int
    ) -> [Float] {
        let rows = x.count / inputs
        let outputs = bias.count
        var y = [Float](repeating: 0, count: rows * outputs)
        x.withUnsafeBufferPointer { x in
            weight.withUnsafeBufferPointer { weight in
                guard let x = x.baseAddress, let weight = weight.baseAddress else { return }
                for output in 0..<outputs {
                    for row in 0..<rows {
                        y[row * outputs + output] =
                            gk_dot(x + row * inputs, weight + output * inputs, inputs)
                            + bias[output]
                    }
                }
            }
        }
        return y
    }

    /// Causal attention over the keys that are not hidden; qkv [T, 3W], result [T, W].
    private func attention(_ qkv: [Float], _ isHidden: [Bool]) -> [Float] {
        let width = configuration.width
        let head = width / configuration.heads
        let scale = 1 / Double(head).squareRoot()
        var result = [Float](repeating: 0, count: isHidden.count * width)
        for first in stride(from: 0, to: width, by: head) {
            for query in isHidden.indices {
                var keys = (0...query).filter { !isHidden[$0] }
                let seesNone = keys.isEmpty
                if seesNone { keys = Array(0...query) }
                var scores = keys.map { key in
                    var sum = 0.0
                    for column in first..<first + head {
                        sum +=
                            Double(qkv[query * 3 * width + column])
                            * Double(qkv[key * 3 * width + width + column])
                    }
                    return seesNone ? 0 : sum * scale
                }
                let greatest = scores.max() ?? 0
                for index in scores.indices { scores[index] = exp(scores[index] - greatest) }
                let total = scores.reduce(0, +)
                for column in first..<first + head {
                    var sum = 0.0
                    for (key, score) in zip(keys, scores) {
                        sum += score * Double(qkv[key * 3 * width + 2 * width + column])
                    }
                    result[query * width + column] = Float(sum / total)
                }
            }
        }
        return result
    }

    private func normalized(_ x: [Float], _ gain: [Float], _ bias: [Float]) -> [Float] {
        TextHead(normWeight: gain, normBias: bias, eps: configuration.eps, projection: nil)
            .normalized(x)
    }

    private func activated(_ x: Float) -> Float {
        let value = Double(x)
        switch configuration.activation {
        case .quickGELU: return Float(value / (1 + exp(-1.702 * value)))
        case .gelu: return Float(0.5 * value * (1 + erf(value / 2.0.squareRoot())))
        case .geluTanh:
            let inner = (2 / Double.pi).squareRoot() * (value + 0.044715 * value * value * value)
            return Float(0.5 * value * (1 + tanh(inner)))
        }
    }
}
