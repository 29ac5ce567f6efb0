/// Finds the towers in one file with tensors, by the names that pipelines and tools give them.
enum SingleFile {
    /// Where a pipeline's file keeps a text tower.
    private struct Place {
        let format: CheckpointFormat
        let family: TowerFamily
        let prefix: String
        let layout: CheckpointLayout
    }

    /// The prefixes of Stability's and ComfyUI's files (`conditioner.embedders` of
    /// generative-models, `cond_stage_model` of latent-diffusion, `text_encoders` of ComfyUI).
    private static let places = [
        Place(
            format: .sdxl, family: .clipL, prefix: "conditioner.embedders.0.transformer.",
            layout: .transformers),
        Place(
            format: .sdxl, family: .clipG, prefix: "conditioner.embedders.1.model.",
            layout: .openCLIP),
        Place(
            format: .sdxlRefiner, family: .clipG, prefix: "conditioner.embedders.0.model.",
            layout: .openCLIP),
        Place(
            format: .sd1, family: .clipL, prefix: "cond_stage_model.transformer.",
            layout: .transformers),
        Place(
            format: .sd2, family: .clipH, prefix: "cond_stage_model.model.", layout: .openCLIP),
        Place(
            format: .sd3, family: .clipL, prefix: "text_encoders.clip_l.transformer.",
            layout: .transformers),
        Place(
            format: .sd3, family: .clipG, prefix: "text_encoders.clip_g.transformer.",
            layout: .transformers),
    ]

    /// - Throws: `EncoderError.unsupported` when no tower is found or one needs a configuration file.
    static func contents(_ source: any TensorSource) throws(EncoderError) -> CheckpointContents {
        var towers: [CheckpointTower] = []
        var formats: [CheckpointFormat] = []
        for place in places {
            let tensors = PrefixedTensors(source, prefix: place.prefix)
            guard hasText(tensors, place.layout) else { continue }
            let name = TextTensorNames.find(place.layout, in: tensors).tokenEmbedding
            let family = try TowerFamily.of(
                width: tensors.shape(of: name)?.last ?? 0, named: place.family,
                layout: place.layout, tensor: place.prefix + name, path: source.path)
            let tower = try text(
                place.format == .sd3 ? ImpliedProjection.add(to: tensors, family) : tensors,
                place.layout, family)
            guard !towers.contains(where: { $0.role == tower.role }) else {
                throw .unsupported(
                    what: "\(source.path), tensor \"\(place.prefix + name)\"",
                    expected: "each encoder once",
                    actual: "two \(tower.role.rawValue) by their widths")
            }
            formats.append(place.format)
            towers.append(tower)
        }
        if let format = formats.first {
            return CheckpointContents(
                path: source.path, format: Self.format(format, towers.map(\.role)), towers: towers)
        }
        return try bare(source)
    }

    /// What a pipeline's file is: as its names say, as far as its encoders' sizes do not contradict them.
    private static func format(
        _ named: CheckpointFormat, _ roles: [EncoderRole]
    ) -> CheckpointFormat {
        switch (named, roles) {
        // FLUX's files keep CLIP-L where SD3's do, and have no bigG.
        case (.sd3, [.clipL]): .flux
        case (.sd1, [.clipH]), (.sdxlRefiner, [.clipH]): .sd2
        case (.sd2, [.clipL]): .sd1
        case (.sd1, [.clipG]), (.sd2, [.clipG]): .sdxlRefiner
        default: named
        }
    }

    /// Towers under their own names.
    private static func bare(
        _ source: any TensorSource
    ) throws(EncoderError) -> CheckpointContents {
        for layout in [CheckpointLayout.transformers, .openCLIP] {
            let names = VisionTensorNames.find(layout, in: source)
            let hasVision = source.shape(of: names.patchEmbedding) != nil
            switch (hasText(source, layout), hasVision) {
            case (false, false): continue
            case (true, false):
                let name = TextTensorNames.find(layout, in: source).tokenEmbedding
                let width = source.shape(of: name)?.last ?? 0
                // Under OpenCLIP's names 768 is OpenAI's L/14 or LAION's, which has GELU.
                guard let family = TowerFamily(width: width),
                    layout == .transformers || family != .clipL || isOpenAI(source)
                else {
                    throw needsConfiguration(
                        source, layout, "a text tower \(width) wide, whose activation is unknown")
                }
                let tensors =
                    layout == .transformers ? ImpliedProjection.add(to: source, family) : source
                return CheckpointContents(
                    path: source.path, format: .textEncoder,
                    towers: [try text(tensors, layout, family)])
            case (false, true):
                let tower = CheckpointTower(
                    role: .imageEncoder,
                    configuration: CLIPConfiguration(
                        layout: layout, text: nil,
                        vision: try vision(source, layout, names, text: nil)),
                    tokenizerFiles: nil, preprocessingFiles: nil, padToken: nil, tensors: source)
                return CheckpointContents(
                    path: source.path, format: .imageEncoder, towers: [tower])
            case (true, true): return try both(source, layout, names)
            }
        }
        throw .unsupported(
            what: "the tensors of \(source.path)",
            expected: "a CLIP text or image tower under the names of transformers, OpenCLIP, "
                + "Stable Diffusion 1, 2, 3, XL or FLUX",
            actual: found(source))
    }

    private static func both(
        _ source: any TensorSource, _ layout: CheckpointLayout, _ names: VisionTensorNames
    ) throws(EncoderError) -> CheckpointContents {
        let activation = try visionActivation(source, layout, names, hasText: true)
        let configuration = CLIPConfiguration(
            layout: layout,
            text: try InferredSizes.text(
                source, layout: layout, activation: activation,
                padToken: layout == .openCLIP ? 0 : nil),
            vision: try InferredSizes.vision(source, layout: layout, activation: activation))
        let tower = CheckpointTower(
            role: .clip, configuration: configuration, tokenizerFiles: nil,
            preprocessingFiles: nil, padToken: layout == .openCLIP ? 0 : nil, tensors: source)
        return CheckpointContents(
            path: source.path, format: isOpenAI(source) ? .openAI : .openCLIP,
            towers: [tower])
    }

    private static func text(
        _ tensors: any TensorSource, _ layout: CheckpointLayout, _ family: TowerFamily
    ) throws(EncoderError) -> CheckpointTower {
        var configuration = CLIPConfiguration(layout: layout, text: nil, vision: nil)
        configuration.text = try InferredSizes.text(
            tensors, layout: layout, activation: family.activation, padToken: family.padToken)
        return CheckpointTower(
            role: family.role, configuration: configuration, tokenizerFiles: nil,
            preprocessingFiles: nil, padToken: family.padToken, tensors: tensors)
    }

    private static func vision(
        _ source: any TensorSource, _ layout: CheckpointLayout, _ names: VisionTensorNames,
        text: TextConfiguration?
    ) throws(EncoderError) -> VisionConfiguration {
        try InferredSizes.vision(
            source, layout: layout,
            activation: try visionActivation(source, layout, names, hasText: false))
    }

    /// OpenAI's TorchScript modules, and state dictionaries taken from them: those keep three numbers
    /// beside the weights that no other library writes (`build_model` of OpenAI's `model.py` takes
    /// them out).
    private static func isOpenAI(_ source: any TensorSource) -> Bool {
        source.container == .torchScript
            || ["input_resolution", "context_length", "vocab_size"].allSatisfy {
                source.shape(of: $0) == []
            }
    }

    /// The activation of an image tower, and of the text tower beside it. OpenAI's models
    /// have QuickGELU; H, g and bigG (1280, 1408 and 1664 wide) were only trained by LAION, with
    /// GELU. Other sizes exist with both: a tower alone is taken for OpenAI's L/14, which is what
    /// pipelines use at that size; a whole model needs its configuration.
    private static func visionActivation(
        _ source: any TensorSource, _ layout: CheckpointLayout, _ names: VisionTensorNames,
        hasText: Bool
    ) throws(EncoderError) -> Activation {
        let width = source.shape(of: names.patchEmbedding)?.first ?? 0
        if isOpenAI(source) { return .quickGELU }
        if [1_280, 1_408, 1_664].contains(width) { return .gelu }
        if !hasText, width == 1_024 { return .quickGELU }
        throw needsConfiguration(
            source, layout, "an image tower \(width) wide, whose activation is unknown")
    }

    private static func needsConfiguration(
        _ source: any TensorSource, _ layout: CheckpointLayout, _ actual: String
    ) -> EncoderError {
        .unsupported(
            what: source.path,
            expected: "weights beside their \(layout.configurationName)", actual: actual)
    }

    private static func hasText(_ source: any TensorSource, _ layout: CheckpointLayout) -> Bool {
        source.shape(of: TextTensorNames.find(layout, in: source).tokenEmbedding) != nil
    }

    /// The first names, for a message.
    private static func found(_ source: any TensorSource) -> String {
        guard !source.tensorNames.isEmpty else { return "no tensors" }
        let names = source.tensorNames.prefix(3).map { "\"\($0.prefix(100))\"" }
        return "\(source.tensorNames.count) others: " + names.joined(separator: ", ")
            + (source.tensorNames.count > 3 ? ", …" : "")
    }
}
