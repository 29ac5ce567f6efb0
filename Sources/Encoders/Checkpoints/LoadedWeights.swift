import Glibc
import JSON

/// Everything a checkpoint's files say: the configuration, and the weights it describes.
package struct LoadedWeights: Sendable {
    package let configuration: CLIPConfiguration
    package let text: TextWeights?
    package let vision: VisionWeights?
    /// exp of the stored `logit_scale`.
    package let logitScale: Float
    /// The tensors that were read, by what they belong to.
    let textTensors: [StoredTensor]
    let visionTensors: [StoredTensor]
    let scaleTensors: [StoredTensor]

    /// Reads the configuration and tensors of a directory in either layout.
    ///
    /// - Throws: `EncoderError` naming the file, field or tensor.
    package init(_ files: CheckpointFiles) throws(EncoderError) {
        try self.init(try CheckpointTower.directory(files))
    }

    /// Reads the tensors of a tower or of both.
    ///
    /// - Throws: `EncoderError` naming the file or tensor.
    package init(_ tower: CheckpointTower) throws(EncoderError) {
        configuration = tower.configuration
        let source = tower.tensors
        var reader = WeightReader(source)
        let layout = configuration.layout
        if let sizes = configuration.text {
            text = try reader.text(sizes, names: .find(layout, in: source))
        } else {
            text = nil
        }
        let textCount = reader.taken.count
        if let sizes = configuration.vision {
            vision = try reader.vision(sizes, names: .find(layout, in: source))
        } else {
            vision = nil
        }
        let visionEnd = reader.taken.count
        logitScale = try Self.logitScale(&reader, configuration)
        let tensors = try reader.storedTensors()
        textTensors = Array(tensors[..<textCount])
        visionTensors = Array(tensors[textCount..<visionEnd])
        scaleTensors = Array(tensors[visionEnd...])
        // Whoever keeps the source keeps the mapping: not its memory, which packing will want.
        source.releasePages()
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
