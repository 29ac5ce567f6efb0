import JSON

/// One encoder of a checkpoint: its configuration is read and checked, its weights are not yet.
///
/// Usually one tower, or the image and the text tower of one CLIP model (`role` is `.clip`).
public struct CheckpointTower: Sendable {
    public let role: EncoderRole
    /// As the checkpoint's configuration says, or as inferred from the tensors of a single file.
    public let configuration: CLIPConfiguration
    /// Where a tokenizer's files may be; `nil` for a single file, which has none.
    public let tokenizerFiles: CheckpointFiles?
    /// Where a preprocessor's configuration may be; `nil` for a single file, which has none.
    public let preprocessingFiles: CheckpointFiles?
    /// What the built-in tokenizer pads with for this tower; `nil` for its own end token.
    public let padToken: Int32?
    /// Whose image preprocessing to follow; `nil` for the checkpoint's own.
    package var imageProfile: ImagePreprocessing.Profile?
    /// Whether a vocabulary of CLIP's size is taken for CLIP's; false where the file lists others.
    var isBuiltInVocabulary = true
    /// The tensors, under the names of `configuration.layout`.
    private(set) var tensors: any TensorSource

    /// The same tower with its tensors from another source.
    func with(_ tensors: any TensorSource) -> CheckpointTower {
        var tower = self
        tower.tensors = tensors
        return tower
    }

    /// For messages.
    public var path: String { tensors.path }
    /// What the weights are stored in.
    public var container: TensorContainer { tensors.container }

    /// The weights of the text tower, widened to fp32; `nil` when it has none. Only its tensors are
    /// read.
    ///
    /// - Throws: `EncoderError` naming the tensor that is missing or wrong.
    public func textWeights() throws(EncoderError) -> TextWeights? {
        guard let sizes = configuration.text else { return nil }
        var reader = WeightReader(tensors)
        return try reader.text(sizes, names: .find(configuration.layout, in: tensors))
    }

    /// The weights of the image tower, widened to fp32; `nil` when it has none. Only its tensors are
    /// read.
    ///
    /// - Throws: `EncoderError` naming the tensor that is missing or wrong.
    public func visionWeights() throws(EncoderError) -> VisionWeights? {
        guard let sizes = configuration.vision else { return nil }
        var reader = WeightReader(tensors)
        return try reader.vision(sizes, names: .find(configuration.layout, in: tensors))
    }

    /// The checkpoint's own tokenizer, else CLIP's when the vocabulary has its size, else `nil`.
    ///
    /// - Throws: `EncoderError` when the checkpoint's tokenizer is damaged or has tokens that the text
    ///   tower has not.
    public func tokenizer() throws(EncoderError) -> BytePairTokenizer? {
        try TokenizerSource.find(self)?.tokenizer
    }

    /// The checkpoint's own preprocessing, else CLIP's for the image tower's size; `nil` without an
    /// image tower.
    ///
    /// - Throws: `EncoderError` when its file is damaged or makes images of another size.
    public func preprocessing() throws(EncoderError) -> ImagePreprocessing? {
        try PreprocessingSource.find(self)?.preprocessing
    }

    /// Where `tokenizer()` comes from, for people; `nil` when there is none.
    public func tokenizerOrigin() throws(EncoderError) -> String? {
        try TokenizerSource.find(self)?.origin
    }

    /// Where `preprocessing()` comes from, for people; `nil` when there is none.
    public func preprocessingOrigin() throws(EncoderError) -> String? {
        try PreprocessingSource.find(self)?.origin
    }

    /// How many numbers the towers' tensors are, by the type that they are stored in; the most
    /// frequent first. Nothing is read but names and shapes.
    public func storage() -> [CheckpointReport.Storage] {
        var counts: [StoredType: (tensors: Int, parameters: Int)] = [:]
        for name in tensorNames {
            guard let type = tensors.storedType(of: name), let shape = tensors.shape(of: name)
            else { continue }
            let count = counts[type] ?? (0, 0)
            counts[type] = (count.tensors + 1, count.parameters + shape.reduce(1, *))
        }
        return counts.map {
            CheckpointReport.Storage(
                type: $0.key, tensors: $0.value.tensors, parameters: $0.value.parameters)
        }.sorted { ($0.parameters, $0.type.rawValue) > ($1.parameters, $1.type.rawValue) }
    }

    /// The tensors that belong to the towers, without buffers that no tower reads.
    var tensorNames: [String] {
        var namespaces: [String] = []
        if configuration.text != nil {
            namespaces += TextTensorNames.find(configuration.layout, in: tensors).namespaces
        }
        if configuration.vision != nil {
            namespaces += VisionTensorNames.find(configuration.layout, in: tensors).namespaces
        }
        return tensors.tensorNames.filter { name in
            !WeightReader.isHarmless(name) && namespaces.contains { name.hasPrefix($0) }
        }
    }
}

// MARK: - directories

extension CheckpointTower {
    /// The model in a directory of transformers' or open_clip's layout.
    ///
    /// - Throws: `EncoderError` naming the file or field that is missing or wrong.
    package static func directory(
        _ files: CheckpointFiles, role: EncoderRole = .clip
    ) throws(EncoderError) -> CheckpointTower {
        let layout = try layout(of: files)
        // Of two faults the configuration's is named first in one layout and the weights' in the
        // other, as each of them needs the other's names.
        if layout == .openCLIP {
            let configuration = try openCLIPConfiguration(files)
            return directory(
                files, configuration, try files.tensors(layout: .openCLIP), role: role)
        }
        return try directory(
            files, layout: layout, tensors: try files.tensors(layout: layout), role: role)
    }

    /// The model in a directory, with its tensors from a given file of it.
    static func directory(
        _ files: CheckpointFiles, layout: CheckpointLayout, tensors: any TensorSource,
        role: EncoderRole = .clip
    ) throws(EncoderError) -> CheckpointTower {
        switch layout {
        case .openCLIP:
            return directory(files, try openCLIPConfiguration(files), tensors, role: role)
        case .transformers:
            let name = layout.configurationName
            let configuration = try CLIPConfiguration.transformers(
                try files.json(named: name) ?? .null, path: files.path(of: name)
            ) {
                tensors.shape(of: $0) != nil
            }
            return directory(files, configuration, tensors, role: role)
        }
    }

    private static func directory(
        _ files: CheckpointFiles, _ configuration: CLIPConfiguration,
        _ tensors: any TensorSource, role: EncoderRole
    ) -> CheckpointTower {
        CheckpointTower(
            role: role == .clip && configuration.text == nil ? .imageEncoder : role,
            configuration: configuration, tokenizerFiles: files, preprocessingFiles: files,
            padToken: nil, tensors: tensors)
    }

    private static func openCLIPConfiguration(
        _ files: CheckpointFiles
    ) throws(EncoderError) -> CLIPConfiguration {
        let name = CheckpointLayout.openCLIP.configurationName
        return try .openCLIP(try files.json(named: name) ?? .null, path: files.path(of: name))
    }

    /// Many folders hold a model in both layouts, with weights for one or both: transformers' is taken
    /// when it is complete.
    private static func layout(
        of files: CheckpointFiles
    ) throws(EncoderError) -> CheckpointLayout {
        let layouts: [CheckpointLayout] = [.transformers, .openCLIP]
        for layout in layouts where try files.bytes(named: layout.configurationName) != nil {
            if try files.hasWeights(layout) { return layout }
        }
        // Something is missing; the configuration that is there decides what is said of the rest.
        for layout in layouts where try files.bytes(named: layout.configurationName) != nil {
            return layout
        }
        throw .file(
            path: files.path,
            reason: "is no model: looked for " + CheckpointFiles.expectedContents)
    }
}
