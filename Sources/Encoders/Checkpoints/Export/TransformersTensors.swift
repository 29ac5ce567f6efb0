/// One tensor with its values.
package struct NamedTensor: Sendable, Equatable {
    package let name: String
    package let shape: [Int]
    /// Row-major.
    package let values: [Float]

    package init(_ name: String, _ shape: [Int], _ values: [Float]) {
        self.name = name
        self.shape = shape
        self.values = values
    }
}

extension TextWeights {
    /// The weights under the names and in the shapes that transformers' `CLIPModel` and
    /// `CLIPTextModelWithProjection` store them.
    package func transformersTensors(_ sizes: TextConfiguration) -> [NamedTensor] {
        let names = TextTensorNames.transformers(prefix: "text_model.")
        let width = sizes.width
        var tensors = [
            NamedTensor(names.tokenEmbedding, [sizes.vocabularySize, width], tokenEmbedding),
            NamedTensor(names.positionEmbedding, [sizes.contextLength, width], positionEmbedding),
        ]
        for (index, layer) in layers.enumerated() {
            tensors += layer.transformersTensors(
                names.layer(index), width: width, mlpWidth: sizes.mlpWidth)
        }
        tensors.append(NamedTensor(names.finalNorm + ".weight", [width], finalNormWeight))
        tensors.append(NamedTensor(names.finalNorm + ".bias", [width], finalNormBias))
        if let projection, let joint = sizes.projection {
            tensors.append(NamedTensor(names.projection.name, [joint, width], projection))
        }
        return tensors
    }
}

extension VisionWeights {
    /// The weights under the names and in the shapes that transformers' `CLIPModel` and
    /// `CLIPVisionModelWithProjection` store them.
    package func transformersTensors(_ sizes: VisionConfiguration) -> [NamedTensor] {
        let names = VisionTensorNames.transformers(prefix: "vision_model.")
        let width = sizes.width
        var tensors = [
            NamedTensor(
                names.patchEmbedding, [width, 3, sizes.patchSize, sizes.patchSize], patchEmbedding),
            NamedTensor(names.classEmbedding, [width], classEmbedding),
            NamedTensor(names.positionEmbedding, [sizes.tokens, width], positionEmbedding),
            NamedTensor(names.preNorm + ".weight", [width], preNormWeight),
            NamedTensor(names.preNorm + ".bias", [width], preNormBias),
        ]
        for (index, layer) in layers.enumerated() {
            tensors += layer.transformersTensors(
                names.layer(index), width: width, mlpWidth: sizes.mlpWidth)
        }
        tensors.append(NamedTensor(names.postNorm + ".weight", [width], postNormWeight))
        tensors.append(NamedTensor(names.postNorm + ".bias", [width], postNormBias))
        if let projection, let joint = sizes.projection {
            tensors.append(NamedTensor(names.projection.name, [joint, width], projection))
        }
        return tensors
    }
}

extension LayerWeights {
    fileprivate func transformersTensors(
        _ names: LayerTensorNames, width: Int, mlpWidth: Int
    ) -> [NamedTensor] {
        var tensors: [NamedTensor] = []
        func add(_ stem: String, _ weight: [Float], _ bias: [Float], _ shape: [Int]) {
            tensors.append(NamedTensor(stem + ".weight", shape, weight))
            tensors.append(NamedTensor(stem + ".bias", [shape[0]], bias))
        }
        add(names.attentionNorm, attentionNormWeight, attentionNormBias, [width])
        if case .separate(let q, let k, let v) = names.attention {
            for (index, stem) in [q, k, v].enumerated() {
                let rows = index * width..<(index + 1) * width
                add(
                    stem,
                    Array(qkvWeight[rows.lowerBound * width..<rows.upperBound * width]),
                    Array(qkvBias[rows]), [width, width])
            }
        }
        add(names.out, outWeight, outBias, [width, width])
        add(names.mlpNorm, mlpNormWeight, mlpNormBias, [width])
        add(names.fc1, fc1Weight, fc1Bias, [mlpWidth, width])
        add(names.fc2, fc2Weight, fc2Bias, [width, mlpWidth])
        return tensors
    }
}
