extension CheckpointTower {
    /// This encoder's text tower with changed weights, which are read again.
    ///
    /// - Parameters:
    ///   - tower: made of the same weights before; the new one is held as it is.
    ///   - loras: merged into the matrices, in order.
    ///   - vectors: textual inversions, whose vectors become the tokens behind the vocabulary, in
    ///     order.
    /// - Returns: the tower, and about how many bytes its weights take in fp32.
    /// - Throws: `EncoderError` naming the tensor that is missing or wrong, or the LoRA's file and
    ///   matrix that does not fit.
    package func textTower(
        like tower: any TextTower, applying loras: [(lora: LoRA, strength: Float)],
        adding vectors: [TextualInversion.Vectors]
    ) throws(EncoderError) -> (tower: any TextTower, bytes: Int) {
        guard var weights = try textWeights(), let tower = tower as? CLIPTextTower else {
            throw .unsupported(what: path, expected: "a CLIP text tower", actual: "none")
        }
        if !loras.isEmpty { weights = try weights.applying(loras) }
        var configuration = tower.configuration
        for entry in vectors {
            configuration.vocabularySize += entry.count
            weights.tokenEmbedding += entry.values
        }
        // The end token's place is known; no token behind the vocabulary may be taken for it.
        configuration.pooling = .firstEnd
        let changed = try CLIPTextTower(
            configuration: configuration, weights: weights, options: tower.options)
        return (changed, weights.bytes)
    }
}

extension TextWeights {
    /// Of the matrices and tables.
    fileprivate var bytes: Int {
        var count = tokenEmbedding.count + positionEmbedding.count
        for layer in layers {
            count += layer.qkvWeight.count + layer.outWeight.count
            count += layer.fc1Weight.count + layer.fc2Weight.count
        }
        return (count + (projection?.count ?? 0)) * MemoryLayout<Float>.stride
    }
}
