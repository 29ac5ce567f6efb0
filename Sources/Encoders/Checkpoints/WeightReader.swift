import System

/// One tensor of a checkpoint as it is stored.
public struct StoredTensor: Sendable, Equatable {
    public let name: String
    public let type: StoredType
    /// `[]` for a scalar.
    public let shape: [Int]
    /// The `ContentDigest` of its bytes.
    public let digest: String
    public var elementCount: Int { shape.reduce(1, *) }
}

/// Takes tensors out of a checkpoint by name and shape, and keeps account of which were taken.
struct WeightReader {
    let source: any TensorSource
    private(set) var taken: [Taken] = []
    /// Whether tensors are only checked by their entries; what is taken is then empty.
    private let isSurvey: Bool

    /// A tensor that was asked for and was there.
    struct Taken: Sendable {
        let name: String
        let shape: [Int]
    }

    init(_ source: any TensorSource, isSurvey: Bool = false) {
        self.source = source
        self.isSurvey = isSurvey
    }

    /// The values of a tensor, which must have exactly this shape.
    mutating func take(_ name: String, _ shape: [Int]) throws(EncoderError) -> [Float] {
        var values: [Float] = []
        if isSurvey {
            _ = try source.check(name, shape: shape)
        } else {
            values = try source.floats(name, shape: shape)
        }
        taken.append(Taken(name: name, shape: shape))
        return values
    }

    /// What was taken, with digests of the stored bytes: one tensor a thread.
    ///
    /// - Throws: `EncoderError.file` when a file changed meanwhile.
    static func stored(
        _ taken: [Taken], in source: any TensorSource
    ) throws(EncoderError) -> [StoredTensor] {
        let digests = concurrentMap(taken.count) { index in
            Result<String?, EncoderError> { () throws(EncoderError) in
                let digest = ContentDigest()
                let isThere = try source.readStoredBytes(taken[index].name) { digest.update($0) }
                return isThere ? digest.hexDigest() : nil
            }
        }
        var tensors: [StoredTensor] = []
        for (tensor, digest) in zip(taken, digests) {
            tensors.append(
                StoredTensor(
                    name: tensor.name, type: source.storedType(of: tensor.name) ?? .f32,
                    shape: tensor.shape, digest: try digest.get() ?? ""))
        }
        return tensors
    }

    /// A matrix [rows, columns]; a projection may be stored the other way round.
    mutating func take(
        _ projection: ProjectionName, rows: Int, columns: Int
    ) throws(EncoderError) -> [Float] {
        guard projection.isTransposed else { return try take(projection.name, [rows, columns]) }
        let stored = try take(projection.name, [columns, rows])
        guard !isSurvey else { return [] }
        return [Float](unsafeUninitializedCapacity: stored.count) { output, initialized in
            for column in 0..<columns {
                for row in 0..<rows {
                    output[row * columns + column] = stored[column * rows + row]
                }
            }
            initialized = stored.count
        }
    }

    mutating func layer(
        _ names: LayerTensorNames, width: Int, mlpWidth: Int
    ) throws(EncoderError) -> LayerWeights {
        var qkvWeight: [Float] = []
        var qkvBias: [Float] = []
        switch names.attention {
        case .fused(let weight, let bias):
            qkvWeight = try take(weight, [3 * width, width])
            qkvBias = try take(bias, [3 * width])
        case .separate(let q, let k, let v):
            if !isSurvey { qkvWeight.reserveCapacity(3 * width * width) }
            for stem in [q, k, v] {
                qkvWeight += try take(stem + ".weight", [width, width])
                qkvBias += try take(stem + ".bias", [width])
            }
        }
        return LayerWeights(
            attentionNormWeight: try take(names.attentionNorm + ".weight", [width]),
            attentionNormBias: try take(names.attentionNorm + ".bias", [width]),
            qkvWeight: qkvWeight, qkvBias: qkvBias,
            outWeight: try take(names.out + ".weight", [width, width]),
            outBias: try take(names.out + ".bias", [width]),
            mlpNormWeight: try take(names.mlpNorm + ".weight", [width]),
            mlpNormBias: try take(names.mlpNorm + ".bias", [width]),
            fc1Weight: try take(names.fc1 + ".weight", [mlpWidth, width]),
            fc1Bias: try take(names.fc1 + ".bias", [mlpWidth]),
            fc2Weight: try take(names.fc2 + ".weight", [width, mlpWidth]),
            fc2Bias: try take(names.fc2 + ".bias", [width]))
    }

    /// All blocks of a tower, read on all processors; the account is as if one after another were.
    ///
    /// - Throws: the error of the first block that has one.
    mutating func layers(
        _ count: Int, width: Int, mlpWidth: Int,
        _ names: @escaping @Sendable (Int) -> LayerTensorNames
    ) throws(EncoderError) -> [LayerWeights] {
        let (source, isSurvey) = (source, isSurvey)
        let blocks = concurrentMap(count) { index in
            Result<(LayerWeights, [Taken]), EncoderError> { () throws(EncoderError) in
                var reader = WeightReader(source, isSurvey: isSurvey)
                let weights = try reader.layer(names(index), width: width, mlpWidth: mlpWidth)
                return (weights, reader.taken)
            }
        }
        var layers: [LayerWeights] = []
        for block in blocks {
            let (weights, own) = try block.get()
            layers.append(weights)
            taken += own
        }
        return layers
    }

    mutating func text(
        _ configuration: TextConfiguration, names: TextTensorNames
    ) throws(EncoderError) -> TextWeights {
        let width = configuration.width
        let tokens = try take(names.tokenEmbedding, [configuration.vocabularySize, width])
        let positions = try take(names.positionEmbedding, [configuration.contextLength, width])
        let layers = try layers(
            configuration.layers, width: width, mlpWidth: configuration.mlpWidth, names.layer)
        let normWeight = try take(names.finalNorm + ".weight", [width])
        let normBias = try take(names.finalNorm + ".bias", [width])
        var projection: [Float]?
        if let joint = configuration.projection {
            projection = try take(names.projection, rows: joint, columns: width)
        }
        try refuseRest(names.namespaces)
        return TextWeights(
            tokenEmbedding: tokens, positionEmbedding: positions, layers: layers,
            finalNormWeight: normWeight, finalNormBias: normBias, projection: projection)
    }

    mutating func vision(
        _ configuration: VisionConfiguration, names: VisionTensorNames
    ) throws(EncoderError) -> VisionWeights {
        let width = configuration.width
        let patch = configuration.patchSize
        let patches = try take(names.patchEmbedding, [width, 3, patch, patch])
        let classEmbedding = try take(names.classEmbedding, [width])
        let positions = try take(names.positionEmbedding, [configuration.tokens, width])
        let preNormWeight = try take(names.preNorm + ".weight", [width])
        let preNormBias = try take(names.preNorm + ".bias", [width])
        let layers = try layers(
            configuration.layers, width: width, mlpWidth: configuration.mlpWidth, names.layer)
        let postNormWeight = try take(names.postNorm + ".weight", [width])
        let postNormBias = try take(names.postNorm + ".bias", [width])
        var projection: [Float]?
        if let joint = configuration.projection {
            projection = try take(names.projection, rows: joint, columns: width)
        }
        try refuseRest(names.namespaces)
        return VisionWeights(
            patchEmbedding: patches, classEmbedding: classEmbedding, positionEmbedding: positions,
            preNormWeight: preNormWeight, preNormBias: preNormBias, layers: layers,
            postNormWeight: postNormWeight, postNormBias: postNormBias, projection: projection)
    }

    /// Refuses tensors of a tower that nothing asked for: the configuration does not fit the weights.
    private func refuseRest(_ namespaces: [String]) throws(EncoderError) {
        let known = Set(taken.map(\.name))
        for name in source.tensorNames.sorted()
        where !known.contains(name) && namespaces.contains(where: { name.hasPrefix($0) })
            && !Self.isHarmless(name)
        {
            let shape = source.shape(of: name) ?? []
            throw .tensor(
                path: source.path, name: name, expected: "no such tensor by the configuration",
                actual: "one of shape \(shape)")
        }
    }

    /// Buffers that old files carry and no tower reads; some are even damaged (position ids in fp16).
    static func isHarmless(_ name: String) -> Bool {
        name.hasSuffix("position_ids") || name.hasSuffix("attn_mask")
    }
}
