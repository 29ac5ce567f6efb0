/// A checkpoint made ready: its towers, tokenizer and preprocessing, all immutable.
///
/// A `CLIPModelBuilder` also gives models of which a tower is still missing.
public final class CLIPModel: Sendable {
    /// Where it was loaded from.
    public let path: String
    /// As the checkpoint says, with the tokenizer's start, end and padding tokens.
    public let configuration: CLIPConfiguration
    /// `nil` when the checkpoint brings none and its vocabulary is not CLIP's.
    public let tokenizer: BytePairTokenizer?
    /// `nil` without an image tower.
    public let preprocessing: ImagePreprocessing?
    /// `nil` without an image tower, and while it is still to be made (`CLIPModelBuilder`).
    public let image: (any ImageTower)?
    /// `nil` without a text tower, and while it is still to be made (`CLIPModelBuilder`).
    public let text: (any TextTower)?
    /// How the towers' weights are held.
    public let options: ComputeOptions
    /// exp(logit_scale): what a cosine is multiplied by to become a logit. A lone tower stores none
    /// and has the value that training would start from.
    public let logitScale: Float
    /// `ContentDigest` over configuration, tokenizer, preprocessing, every weight as it is stored, and the
    /// precision when it is not fp32; 32 hexadecimal digits. Equal fingerprints mean equal results, so
    /// caches and replies carry it.
    public let fingerprint: String
    /// What the checkpoint holds, for people.
    public let report: CheckpointReport

    /// Reads a checkpoint in transformers' or open_clip's layout.
    ///
    /// The weights are copied and widened to fp32: nothing of the files is needed afterwards.
    ///
    /// - Throws: `EncoderError` naming the file, field or tensor that is missing or wrong.
    public static func load(_ files: CheckpointFiles) throws(EncoderError) -> CLIPModel {
        try load(
            try CheckpointTower.directory(files), path: files.path, options: [ComputeOptions()])[0]
    }

    /// Reads one encoder of a checkpoint.
    ///
    /// - Throws: `EncoderError` naming the file, field or tensor that is missing or wrong.
    public static func load(
        _ tower: CheckpointTower, options: ComputeOptions = ComputeOptions()
    ) throws(EncoderError) -> CLIPModel {
        try load(tower, path: tower.path, options: [options])[0]
    }

    /// Reads one encoder of a checkpoint once, and makes it ready in several ways.
    ///
    /// - Throws: as ``load(_:options:)``.
    public static func load(
        _ tower: CheckpointTower, variants options: [ComputeOptions]
    ) throws(EncoderError) -> [CLIPModel] {
        try load(tower, path: tower.path, options: options)
    }

    /// Reads the encoder at a path of any form that `CheckpointContents.open` knows.
    ///
    /// - Parameter path: a directory or file; of several encoders one is named behind a `#`
    ///   (`sd_xl_base.safetensors#clip_g`).
    /// - Throws: `EncoderError` naming the file, field or tensor that is missing or wrong;
    ///   `.unsupported` with the roles to choose from when there are several and none is named.
    public static func load(path: String) throws(EncoderError) -> CLIPModel {
        try load(
            try CheckpointContents.tower(at: path), path: path, options: [ComputeOptions()])[0]
    }

    private static func load(
        _ tower: CheckpointTower, path: String, options: [ComputeOptions]
    ) throws(EncoderError) -> [CLIPModel] {
        let builder = try CLIPModelBuilder(tower, path: path, variants: options)
        var models = builder.identified
        try builder.addText(to: models) { models[$0] = $1 }
        try builder.addVision(to: models) { models[$0] = $1 }
        return models
    }

    /// A model whose towers are still to be made.
    init(
        _ path: String, _ survey: CheckpointSurvey, _ tokenizer: TokenizerSource?,
        _ preprocessing: PreprocessingSource?, _ options: ComputeOptions
    ) {
        self.options = options
        var configuration = survey.configuration
        if let tokenizer { configuration.text?.take(tokenizer.tokenizer) }
        self.path = path
        self.configuration = configuration
        self.tokenizer = tokenizer?.tokenizer
        self.preprocessing = preprocessing?.preprocessing
        text = nil
        image = nil
        logitScale = survey.logitScale
        let exact = survey.fingerprint(
            tokenizer: tokenizer?.identity, preprocessing: preprocessing?.identity)
        if options.precision == .f32 {
            fingerprint = exact
        } else {
            let digest = ContentDigest()
            digest.update("\(exact) precision \(options.precision.rawValue)\n")
            fingerprint = digest.hexDigest()
        }
        report = CheckpointReport(
            survey, path: path, fingerprint: fingerprint, tokenizer: tokenizer?.origin,
            preprocessing: preprocessing)
    }

    /// The same model with other towers.
    private init(_ model: CLIPModel, text: (any TextTower)?, image: (any ImageTower)?) {
        path = model.path
        configuration = model.configuration
        tokenizer = model.tokenizer
        preprocessing = model.preprocessing
        options = model.options
        logitScale = model.logitScale
        fingerprint = model.fingerprint
        report = model.report
        self.text = text
        self.image = image
    }

    /// This model with its text tower made; itself when there are no weights for one.
    func adding(_ weights: TextWeights?) throws(EncoderError) -> CLIPModel {
        guard let sizes = configuration.text, let weights else { return self }
        return CLIPModel(
            self, text: try CLIPTextTower(configuration: sizes, weights: weights, options: options),
            image: image)
    }

    /// This model with its image tower made; itself when there are no weights for one.
    func adding(_ weights: VisionWeights?) throws(EncoderError) -> CLIPModel {
        guard let sizes = configuration.vision, let weights else { return self }
        return CLIPModel(
            self, text: text,
            image: try CLIPImageTower(configuration: sizes, weights: weights, options: options))
    }
}

extension CLIPModel {
    /// The sizes of its towers, from the beginning; `nil` for one that it never has.
    public var textSizes: TextTowerSizes? { configuration.text?.sizes }
    public var imageSizes: ImageTowerSizes? { configuration.vision?.sizes }

    /// Bytes that gradients of a group of `capacity` images add to a workspace; `nil` for a model
    /// without gradients.
    public func gradientBytes(capacity: Int, slots: Int, recomputes: Bool) -> Int? {
        guard options.hasGradients, let sizes = configuration.vision else { return nil }
        return CLIPImageWorkspace.gradientBytes(
            sizes, precision: options.precision, capacity: capacity, slots: slots,
            recomputes: recomputes)
    }

    /// Memory that the towers' weights take.
    public var bytes: Int { (image?.bytes ?? 0) + (text?.bytes ?? 0) }
}

extension TextConfiguration {
    /// The tokens that the tokenizer uses; where the configuration's differ, it is the old kind that
    /// no code ever followed.
    package mutating func take(_ tokenizer: BytePairTokenizer) {
        startToken = tokenizer.startToken
        endToken = tokenizer.endToken
        padToken = tokenizer.padToken
    }
}
