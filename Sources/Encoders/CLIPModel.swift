/// A checkpoint made ready: its towers, tokenizer and preprocessing, all immutable.
public final class CLIPModel: Sendable {
    /// Where it was loaded from.
    public let path: String
    /// As the checkpoint says, with the tokenizer's start, end and padding tokens.
    public let configuration: CLIPConfiguration
    /// `nil` when the checkpoint brings none and its vocabulary is not CLIP's.
    public let tokenizer: BytePairTokenizer?
    /// `nil` without an image tower.
    public let preprocessing: ImagePreprocessing?
    public let vision: VisionTower?
    public let text: TextTower?
    /// How the towers' weights are held.
    public let options: ComputeOptions
    /// exp(logit_scale): what a cosine is multiplied by to become a logit. A lone tower stores none
    /// and has the value that training would start from.
    public let logitScale: Float
    /// SHA-256 over configuration, tokenizer, preprocessing, every weight as it is stored, and the
    /// precision when it is not fp32; 64 hexadecimal digits. Equal fingerprints mean equal results, so
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
        // Before minutes of reading.
        for one in options { try one.check() }
        let weights = try LoadedWeights(tower)
        let tokenizer = try TokenizerSource.find(tower)
        let preprocessing = try PreprocessingSource.find(tower)
        var models: [CLIPModel] = []
        for one in options {
            models.append(try CLIPModel(path, weights, tokenizer, preprocessing, one))
        }
        return models
    }

    private init(
        _ path: String, _ weights: LoadedWeights, _ tokenizer: TokenizerSource?,
        _ preprocessing: PreprocessingSource?, _ options: ComputeOptions
    ) throws(EncoderError) {
        self.options = options
        var configuration = weights.configuration
        if let tokenizer { configuration.text?.take(tokenizer.tokenizer) }
        self.path = path
        self.configuration = configuration
        self.tokenizer = tokenizer?.tokenizer
        self.preprocessing = preprocessing?.preprocessing
        if let sizes = configuration.text, let text = weights.text {
            self.text = try TextTower(
                configuration: sizes, weights: text, options: options)
        } else {
            text = nil
        }
        if let sizes = configuration.vision, let vision = weights.vision {
            self.vision = try VisionTower(
                configuration: sizes, weights: vision, options: options)
        } else {
            vision = nil
        }
        logitScale = weights.logitScale
        let exact = weights.fingerprint(
            tokenizer: tokenizer?.identity, preprocessing: preprocessing?.identity)
        if options.precision == .f32 {
            fingerprint = exact
        } else {
            var digest = SHA256()
            digest.update("\(exact) precision \(options.precision.rawValue)\n")
            fingerprint = digest.hexDigest()
        }
        report = CheckpointReport(
            weights, path: path, fingerprint: fingerprint, tokenizer: tokenizer?.origin,
            preprocessing: preprocessing?.origin)
    }
}

extension CLIPModel {
    /// Memory that the towers' weights take.
    public var bytes: Int { (vision?.bytes ?? 0) + (text?.bytes ?? 0) }
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
