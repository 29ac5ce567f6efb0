import Encoders

/// Both towers once more, written down from the papers as plain loops in double precision.
///
/// Every row of every layer is computed in full; no step is shared with the code under test.
struct ReferenceTower {
    typealias Matrix = [[Double]]

    static func embedImage(
        _ pixels: [Double], _ c: VisionConfiguration, _ w: VisionWeights
    ) -> (states: [Matrix], embedding: [Double]) {
        let grid = c.imageSize / c.patchSize
        var tokens: Matrix = [w.classEmbedding.map(Double.init)]
        for row in 0..<grid {
            for column in 0..<grid {
                var token = [Double](repeating: 0, count: c.width)
                for output in 0..<c.width {
                    var kernel = output * 3 * c.patchSize * c.patchSize
                    for channel in 0..<3 {
                        for y in 0..<c.patchSize {
                            for x in 0..<c.patchSize {
                                let pixel =
                                    (channel * c.imageSize + row * c.patchSize + y) * c.imageSize
                                    + column * c.patchSize + x
                                token[output] += pixels[pixel] * Double(w.patchEmbedding[kernel])
                                kernel += 1
                            }
                        }
                    }
                }
                tokens.append(token)
            }
        }
        for t in tokens.indices {
            for i in 0..<c.width { tokens[t][i] += Double(w.positionEmbedding[t * c.width + i]) }
        }
        tokens = tokens.map { norm($0, w.preNormWeight, w.preNormBias, c.eps) }
        var states = [tokens]
        for layer in w.layers {
            tokens = block(
                tokens, layer, heads: c.heads, activation: c.activation, eps: c.eps, causal: false)
            states.append(tokens)
        }
        let pooled = norm(tokens[0], w.postNormWeight, w.postNormBias, c.eps)
        return (states, project(pooled, w.projection))
    }

    static func embedText(
        _ ids: [Int32], pooledIndex: Int, hiding hidden: Range<Int> = 0..<0,
        _ c: TextConfiguration, _ w: TextWeights
    ) -> (states: [Matrix], normalized: Matrix, embedding: [Double]) {
        var tokens: Matrix = ids.enumerated().map { position, id in
            (0..<c.width).map {
                Double(w.tokenEmbedding[Int(id) * c.width + $0])
                    + Double(w.positionEmbedding[position * c.width + $0])
            }
        }
        var states = [tokens]
        for layer in w.layers {
            tokens = block(
                tokens, layer, heads: c.heads, activation: c.activation, eps: c.eps, causal: true,
                hidden: hidden)
            states.append(tokens)
        }
        let normalized = tokens.map { norm($0, w.finalNormWeight, w.finalNormBias, c.eps) }
        return (states, normalized, project(normalized[pooledIndex], w.projection))
    }

    private static func block(
        _ x: Matrix, _ w: LayerWeights, heads: Int, activation: Activation, eps: Float,
        causal: Bool, hidden: Range<Int> = 0..<0
    ) -> Matrix {
        let width = x[0].count
        let head = width / heads
        let qkv = x.map {
            linear(
                norm($0, w.attentionNormWeight, w.attentionNormBias, eps), w.qkvWeight, w.qkvBias)
        }
        var out = x
        for t in x.indices {
            var mixed = [Double](repeating: 0, count: width)
            for h in 0..<heads {
                let keys = (0..<(causal ? t + 1 : x.count)).filter { !hidden.contains($0) }
                let p = KernelReference.softmax(
                    keys.map { key in
                        (h * head..<(h + 1) * head).reduce(0.0) {
                            $0 + qkv[t][$1] * qkv[key][width + $1]
                        } / Double(head).squareRoot()
                    })
                for (key, share) in zip(keys, p) {
                    for i in h * head..<(h + 1) * head {
                        mixed[i] += share * qkv[key][2 * width + i]
                    }
                }
            }
            out[t] = add(out[t], linear(mixed, w.outWeight, w.outBias))
            let normed = norm(out[t], w.mlpNormWeight, w.mlpNormBias, eps)
            let hidden = linear(normed, w.fc1Weight, w.fc1Bias).map { value in
                switch activation {
                case .quickGELU: KernelReference.quickGELU(value)
                case .gelu: KernelReference.gelu(value)
                case .geluTanh: KernelReference.geluTanh(value)
                }
            }
            out[t] = add(out[t], linear(hidden, w.fc2Weight, w.fc2Bias))
        }
        return out
    }

    private static func norm(
        _ x: [Double], _ gain: [Float], _ bias: [Float], _ eps: Float
    ) -> [Double] {
        KernelReference.layerNorm(
            x, gain: gain.map(Double.init), bias: bias.map(Double.init), eps: Double(eps))
    }

    private static func linear(_ x: [Double], _ w: [Float], _ b: [Float]) -> [Double] {
        b.indices.map { output in
            var sum = Double(b[output])
            for i in x.indices { sum += x[i] * Double(w[output * x.count + i]) }
            return sum
        }
    }

    private static func project(_ x: [Double], _ w: [Float]?) -> [Double] {
        guard let w else { return x }
        return linear(x, w, [Float](repeating: 0, count: w.count / x.count))
    }

    private static func add(_ a: [Double], _ b: [Double]) -> [Double] { zip(a, b).map { $0 + $1 } }
}
