import Glibc

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

    /// Reads configuration and tensors, in either layout.
    ///
    /// - Throws: `EncoderError` naming the file, field or tensor.
    package init(_ files: CheckpointFiles) throws(EncoderError) {
        let openName = "open_clip_config.json"
        let transformersName = "config.json"
        let source: any TensorSource
        if let document = try files.json(named: openName) {
            configuration = try .openCLIP(document, path: files.path(of: openName))
            source = try files.tensors(layout: .openCLIP)
        } else if let document = try files.json(named: transformersName) {
            let tensors = try files.tensors(layout: .transformers)
            configuration = try .transformers(document, path: files.path(of: transformersName)) {
                tensors.shape(of: $0) != nil
            }
            source = tensors
        } else {
            throw .file(
                path: files.path,
                reason: "is no model: looked for " + CheckpointFiles.expectedContents)
        }
        var reader = WeightReader(source)
        let layout = configuration.layout
        if let sizes = configuration.text {
            text = try reader.text(sizes, names: Self.textNames(layout, source))
        } else {
            text = nil
        }
        textTensors = reader.taken
        if let sizes = configuration.vision {
            vision = try reader.vision(sizes, names: Self.visionNames(layout, source))
        } else {
            vision = nil
        }
        visionTensors = Array(reader.taken.dropFirst(textTensors.count))
        logitScale = try Self.logitScale(&reader, configuration)
        scaleTensors = Array(reader.taken.dropFirst(textTensors.count + visionTensors.count))
    }

    private static func textNames(
        _ layout: CheckpointLayout, _ source: any TensorSource
    ) -> TextTensorNames {
        switch layout {
        case .transformers:
            let bare = TextTensorNames.transformers(prefix: "")
            return source.shape(of: bare.tokenEmbedding) != nil
                ? bare : .transformers(prefix: "text_model.")
        case .openCLIP:
            let custom = TextTensorNames.openCLIP(prefix: "text.")
            return source.shape(of: custom.tokenEmbedding) != nil ? custom : .openCLIP(prefix: "")
        }
    }

    private static func visionNames(
        _ layout: CheckpointLayout, _ source: any TensorSource
    ) -> VisionTensorNames {
        switch layout {
        case .transformers:
            let bare = VisionTensorNames.transformers(prefix: "")
            return source.shape(of: bare.classEmbedding) != nil
                ? bare : .transformers(prefix: "vision_model.")
        case .openCLIP: return .openCLIP()
        }
    }

    /// The stored scale; a lone tower has none and takes what its configuration starts from.
    private static func logitScale(
        _ reader: inout WeightReader, _ configuration: CLIPConfiguration
    ) throws(EncoderError) -> Float {
        let name = "logit_scale"
        if let bias = reader.source.shape(of: "logit_bias") {
            throw .unsupported(
                what: "\(reader.source.path), tensor \"logit_bias\"", expected: "none",
                actual: "one of shape \(bias)")
        }
        guard let shape = reader.source.shape(of: name) else {
            guard configuration.text == nil || configuration.vision == nil else {
                throw .tensor(
                    path: reader.source.path, name: name, expected: "shape []",
                    actual: "no such tensor")
            }
            return exp(Float(configuration.initialLogitScale))
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
        return exp(stored)
    }
}
