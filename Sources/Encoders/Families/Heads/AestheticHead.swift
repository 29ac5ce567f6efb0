/// A small network on a picture's unit embedding that gives one number: how people liked such pictures.
///
/// LAION's predictors: v1 is one linear map; v2 is five linear maps without activations, which are one
/// as well; v2's ReLU variant is not. Linear ones are folded in double precision when they are read, so
/// that a score is one dot product and its gradient a constant.
public struct AestheticHead: Sendable {
    /// Which published layout a file has.
    public enum Layout: String, Sendable, CaseIterable {
        /// `sa_0_4_vit_*_linear.pth`: `weight`, `bias`.
        case v1 = "aesthetic-v1"
        /// `sac+logos+ava1-l14-linearMSE.pth`, `ava+logos-l14-linearMSE.pth`: `layers.{0,2,4,6,7}`.
        case v2 = "aesthetic-v2"
        /// `ava+logos-l14-reluMSE.pth`: `layers.{0,3,6,9,11}` with ReLUs between.
        case v2Rectified = "aesthetic-v2-relu"
        /// `aesthetic_predictor_v2_5.pth`: `scoring_head.{0,2,4,6,8}`, on SigLIP's pooled output.
        case v25 = "aesthetic-v2.5"

        /// The tensors' names without `.weight` and `.bias`, in order.
        var stems: [String] {
            switch self {
            case .v1: [""]
            case .v2: [0, 2, 4, 6, 7].map { "layers.\($0)." }
            case .v2Rectified: [0, 3, 6, 9, 11].map { "layers.\($0)." }
            case .v25: [0, 2, 4, 6, 8].map { "scoring_head.\($0)." }
            }
        }

        var isRectified: Bool { self == .v2Rectified }
    }

    public let layout: Layout
    /// Values of the embedding that it reads.
    public let width: Int
    let layers: [Layer]

    struct Layer: Sendable {
        /// [outputs, inputs]
        let weight: [Float]
        /// [outputs]
        let bias: [Float]
        var outputs: Int { bias.count }
        var inputs: Int { weight.count / bias.count }
    }

    /// The score of a unit embedding [width].
    public func score(_ embedding: [Float]) -> Float {
        precondition(embedding.count == width, "an embedding of another width")
        var values = embedding
        for index in layers.indices { values = apply(index, to: values) }
        return values[0]
    }

    /// d(score)/d(embedding), [width].
    public func gradient(at embedding: [Float]) -> [Float] {
        precondition(embedding.count == width, "an embedding of another width")
        var inputs = [embedding]
        for index in layers.indices.dropLast() { inputs.append(apply(index, to: inputs[index])) }
        var gradient: [Float] = [1]
        for index in layers.indices.reversed() {
            let layer = layers[index]
            var next = [Float](repeating: 0, count: layer.inputs)
            for output in 0..<layer.outputs {
                for input in 0..<layer.inputs {
                    next[input] += gradient[output] * layer.weight[output * layer.inputs + input]
                }
            }
            if index > 0, layout.isRectified {
                // What a ReLU made zero does not count.
                for input in 0..<layer.inputs where inputs[index][input] <= 0 { next[input] = 0 }
            }
            gradient = next
        }
        return gradient
    }

    private func apply(_ index: Int, to values: [Float]) -> [Float] {
        let layer = layers[index]
        let isLast = index == layers.count - 1
        return (0..<layer.outputs).map { output in
            var sum = layer.bias[output]
            for input in 0..<layer.inputs {
                sum += layer.weight[output * layer.inputs + input] * values[input]
            }
            return layout.isRectified && !isLast && sum < 0 ? 0 : sum
        }
    }
}

extension AestheticHead {
    /// Reads a head's published file, `.pth` or `.safetensors`.
    ///
    /// - Throws: `EncoderError` naming the tensor that is missing, has another shape or is not of a head.
    public static func load(path: String) throws(EncoderError) -> AestheticHead {
        try load(try TensorFile.open(try MappedBytes.map(path: path), path: path))
    }

    static func load(_ source: any TensorSource) throws(EncoderError) -> AestheticHead {
        let names = Set(source.tensorNames)
        let layout = Layout.allCases.first { layout in
            names == Set(layout.stems.flatMap { [$0 + "weight", $0 + "bias"] })
        }
        guard let layout else {
            let found = names.sorted().prefix(4).map { "\"\($0)\"" }.joined(separator: ", ")
            throw .unsupported(
                what: source.path,
                expected: "an aesthetic head: "
                    + Layout.allCases.map { "\($0.stems[0])weight … (\($0.rawValue))" }
                    .joined(separator: ", "),
                actual: names.isEmpty ? "no tensors" : "\(names.count) tensors: \(found) …")
        }
        var layers: [Layer] = []
        for (index, stem) in layout.stems.enumerated() {
            let name = stem + "weight"
            let shape = source.shape(of: name) ?? []
            let isLast = index == layout.stems.count - 1
            guard shape.count == 2, shape.allSatisfy({ (1...16_384).contains($0) }),
                layers.last.map({ $0.outputs == shape[1] }) ?? true, !isLast || shape[0] == 1
            else {
                let inputs = layers.last.map { "\($0.outputs)" } ?? "D"
                throw .tensor(
                    path: source.path, name: name,
                    expected: "shape [\(isLast ? "1" : "n"), \(inputs)]", actual: "shape \(shape)")
            }
            layers.append(
                Layer(
                    weight: try source.floats(name, shape: shape),
                    bias: try source.floats(stem + "bias", shape: [shape[0]])))
        }
        let width = layers[0].inputs
        return AestheticHead(
            layout: layout, width: width, layers: layout.isRectified ? layers : [fold(layers)])
    }

    /// Linear maps one after the other as one, in double precision.
    private static func fold(_ layers: [Layer]) -> Layer {
        guard layers.count > 1, let last = layers.last else { return layers[0] }
        var weight = last.weight.map(Double.init)
        var bias = Double(last.bias[0])
        for layer in layers.dropLast().reversed() {
            for output in 0..<layer.outputs { bias += weight[output] * Double(layer.bias[output]) }
            var next = [Double](repeating: 0, count: layer.inputs)
            for output in 0..<layer.outputs {
                for input in 0..<layer.inputs {
                    next[input] +=
                        weight[output] * Double(layer.weight[output * layer.inputs + input])
                }
            }
            weight = next
        }
        return Layer(weight: weight.map { Float($0) }, bias: [Float(bias)])
    }
}
