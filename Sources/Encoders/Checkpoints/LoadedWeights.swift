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

    /// Reads configuration and tensors, in either layout.
    ///
    /// - Throws: `EncoderError` naming the file, field or tensor.
    package init(_ files: CheckpointFiles) throws(EncoderError) {
        let source: any TensorSource
        switch try Self.layout(of: files) {
        case .openCLIP:
            let name = CheckpointLayout.openCLIP.configurationName
            configuration = try .openCLIP(
                try files.json(named: name) ?? .null, path: files.path(of: name))
            source = try files.tensors(layout: .openCLIP)
        case .transformers:
            let name = CheckpointLayout.transformers.configurationName
            let tensors = try files.tensors(layout: .transformers)
            configuration = try .transformers(
                try files.json(named: name) ?? .null, path: files.path(of: name)
            ) {
                tensors.shape(of: $0) != nil
            }
            source = tensors
        }
        var reader = WeightReader(source)
        let layout = configuration.layout
        if let sizes = configuration.text {
            text = try reader.text(sizes, names: Self.textNames(layout, source))
        } else {
            text = nil
        }
        let textCount = reader.taken.count
        if let sizes = configuration.vision {
            vision = try reader.vision(sizes, names: Self.visionNames(layout, source))
        } else {
            vision = nil
        }
        let visionEnd = reader.taken.count
        logitScale = try Self.logitScale(&reader, configuration)
        let tensors = try reader.storedTensors()
        textTensors = Array(tensors[..<textCount])
        visionTensors = Array(tensors[textCount..<visionEnd])
        scaleTensors = Array(tensors[visionEnd...])
    }

    /// Many folders hold a model in both layouts, with weights for one or both: transformers' is taken
    /// when it is complete.
    private static func layout(
        of files: CheckpointFiles
    ) throws(EncoderError) -> CheckpointLayout {
        func isComplete(_ layout: CheckpointLayout) throws(EncoderError) -> Bool {
            guard try files.bytes(named: layout.configurationName) != nil else { return false }
            for stem in layout.weightStems {
                for suffix in [".safetensors", ".safetensors.index.json"]
                where try files.bytes(named: stem + suffix) != nil { return true }
            }
            return false
        }
        let layouts: [CheckpointLayout] = [.transformers, .openCLIP]
        for layout in layouts where try isComplete(layout) { return layout }
        // Something is missing; the configuration that is there decides what is said of the rest.
        for layout in layouts where try files.bytes(named: layout.configurationName) != nil {
            return layout
        }
        throw .file(
            path: files.path,
            reason: "is no model: looked for " + CheckpointFiles.expectedContents)
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
