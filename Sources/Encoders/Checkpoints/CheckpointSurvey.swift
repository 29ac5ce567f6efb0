import Glibc
import JSON

/// What a checkpoint's files say before a tower is made of them: the configuration, that every tensor
/// it needs is there in its shape, and their digests.
package struct CheckpointSurvey: Sendable {
    package var configuration: CLIPConfiguration { tower.configuration }
    /// exp of the stored `logit_scale`.
    package let logitScale: Float
    /// The tensors of the towers, by what they belong to.
    let textTensors: [StoredTensor]
    let visionTensors: [StoredTensor]
    let scaleTensors: [StoredTensor]
    /// Its tensors are those that were digested, or an error.
    let tower: CheckpointTower

    /// Reads every byte of the towers once, for the digests; numbers are not looked at.
    ///
    /// - Throws: `EncoderError` naming the file or tensor that is missing or wrong.
    package init(_ tower: CheckpointTower) throws(EncoderError) {
        let source = tower.tensors
        let configuration = tower.configuration
        let layout = configuration.layout
        var reader = WeightReader(source, isSurvey: true)
        if let sizes = configuration.text {
            _ = try reader.text(sizes, names: .find(layout, in: source))
        }
        let textCount = reader.taken.count
        if let sizes = configuration.vision {
            _ = try reader.vision(sizes, names: .find(layout, in: source))
        }
        let visionEnd = reader.taken.count
        var scale = WeightReader(source)
        logitScale = try Self.logitScale(&scale, configuration)
        let tensors = try WeightReader.stored(reader.taken + scale.taken, in: source)
        textTensors = Array(tensors[..<textCount])
        visionTensors = Array(tensors[textCount..<visionEnd])
        scaleTensors = Array(tensors[visionEnd...])
        self.tower = tower.with(DigestedTensors(source, tensors))
        source.releasePages()
    }

    /// The weights of the text tower, widened to fp32; `nil` when it has none.
    ///
    /// - Throws: `EncoderError` naming the tensor whose values cannot be used.
    package func textWeights() throws(EncoderError) -> TextWeights? {
        // Whoever keeps the source keeps the mapping: not its memory, which packing will want.
        defer { tower.tensors.releasePages() }
        return try tower.textWeights()
    }

    /// The weights of the image tower, widened to fp32; `nil` when it has none.
    ///
    /// - Throws: `EncoderError` naming the tensor whose values cannot be used.
    package func visionWeights() throws(EncoderError) -> VisionWeights? {
        defer { tower.tensors.releasePages() }
        return try tower.visionWeights()
    }

    /// exp of the stored scale, which is taken from the reader.
    private static func logitScale(
        _ reader: inout WeightReader, _ configuration: CLIPConfiguration
    ) throws(EncoderError) -> Float {
        if let bias = reader.source.shape(of: "logit_bias") {
            throw .unsupported(
                what: "\(reader.source.path), tensor \"logit_bias\"", expected: "none",
                actual: "one of shape \(bias)")
        }
        let stored = try CheckpointTower.logitScale(&reader, configuration)
        return exp(stored)
    }
}

extension CheckpointTower {
    /// ln of what a cosine is multiplied by to become a logit, as it is stored.
    ///
    /// - Throws: `EncoderError.tensor` when it is missing or would overflow.
    func storedLogitScale() throws(EncoderError) -> Float {
        var reader = WeightReader(tensors)
        return try Self.logitScale(&reader, configuration)
    }

    /// The stored scale; a lone tower, and GGUF, have none and take what their configuration says.
    static func logitScale(
        _ reader: inout WeightReader, _ configuration: CLIPConfiguration
    ) throws(EncoderError) -> Float {
        let name = "logit_scale"
        guard let shape = reader.source.shape(of: name) else {
            let isExpected = configuration.text != nil && configuration.vision != nil
            guard !isExpected || reader.source.container == .gguf else {
                throw .tensor(
                    path: reader.source.path, name: name, expected: "shape []",
                    actual: "no such tensor")
            }
            return Float(configuration.initialLogitScale)
        }
        // open_clip may store it as a vector of one.
        let stored = try reader.take(name, shape == [1] ? [1] : [])[0]
        guard CLIPConfiguration.logitScaleRange.contains(Double(stored)) else {
            throw .tensor(
                path: reader.source.path, name: name,
                expected: "a value from \(CLIPConfiguration.logitScaleRange.lowerBound) to "
                    + "\(CLIPConfiguration.logitScaleRange.upperBound)",
                actual: "\(stored)")
        }
        return stored
    }
}
