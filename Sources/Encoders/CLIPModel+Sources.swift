import JSON

/// A model's tokenizer and where it came from.
struct TokenizerSource {
    let tokenizer: BytePairTokenizer
    /// For people.
    let origin: String
    /// Changes when the tokens may: for the fingerprint.
    let identity: String

    private static let vocabularies = ["tokenizer.json", "vocab.json", "merges.txt"]
    /// Files that name special tokens.
    private static let additions = [
        "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    ]

    /// The checkpoint's own tokenizer, else CLIP's when the vocabulary has its size, else `nil`.
    ///
    /// - Throws: `EncoderError` when the checkpoint's tokenizer is damaged or has tokens that its text
    ///   tower has not.
    static func find(_ tower: CheckpointTower) throws(EncoderError) -> TokenizerSource? {
        guard let text = tower.configuration.text else { return nil }
        let cleaning = tower.cleaning
        let found = vocabularies.filter { tower.tokenizerFiles?.names.contains($0) == true }
        if let first = found.first, let files = tower.tokenizerFiles {
            let tokenizer = try BytePairTokenizer.load(files, cleaning: cleaning)
            try check(tokenizer, against: text, path: files.path(of: first))
            var identity = "cleaning \(cleaning.rawValue)"
            for name in found + additions {
                identity += " " + name + " " + (try files.digest(of: name) ?? "none")
            }
            // The single file wins over the pair.
            return TokenizerSource(
                tokenizer: tokenizer,
                origin: first == vocabularies[0] ? first : found.joined(separator: " + "),
                identity: identity)
        }
        // 49408 is how many tokens CLIP's vocabulary has (OpenAI's `simple_tokenizer.py`).
        let standard = BytePairTokenizer.clip(cleaning: cleaning, padToken: tower.padToken)
        guard tower.isBuiltInVocabulary, text.vocabularySize == standard.vocabularySize else {
            return nil
        }
        try check(standard, against: text, path: tower.path)
        let pad = tower.padToken.map { " pad \($0)" } ?? ""
        return TokenizerSource(
            tokenizer: standard, origin: "built-in (CLIP)",
            identity: "built-in cleaning \(cleaning.rawValue)" + pad)
    }

    private static func check(
        _ tokenizer: BytePairTokenizer, against text: TextConfiguration, path: String
    ) throws(EncoderError) {
        guard tokenizer.vocabularySize <= text.vocabularySize else {
            throw .configuration(
                path: path, field: "vocab",
                expected: "at most the text tower's \(text.vocabularySize) tokens",
                actual: "\(tokenizer.vocabularySize)")
        }
        guard text.pooling == .highestToken || tokenizer.endToken == text.endToken else {
            throw .configuration(
                path: path, field: "end token",
                expected: "\(text.endToken), at which the text tower pools",
                actual: "\(tokenizer.endToken)")
        }
    }
}

/// A model's preprocessing and where it came from.
struct PreprocessingSource {
    let preprocessing: ImagePreprocessing
    /// For people.
    let origin: String
    /// Changes when the pixels may: for the fingerprint.
    let identity: String

    /// The checkpoint's own, else CLIP's for the image tower's size; `nil` without an image tower.
    ///
    /// - Throws: `EncoderError` when its file is damaged or makes images of another size.
    static func find(_ tower: CheckpointTower) throws(EncoderError) -> PreprocessingSource? {
        guard let vision = tower.configuration.vision else { return nil }
        let names: [String]
        let profile: ImagePreprocessing.Profile
        switch tower.configuration.layout {
        case .transformers:
            names = ["preprocessor_config.json", "processor_config.json"]
            profile = .transformersPIL
        case .openCLIP:
            names = ["open_clip_config.json"]
            profile = .openCLIP
        }
        for name in names {
            guard let files = tower.preprocessingFiles,
                let document = try files.json(named: name)
            else { continue }
            let path = files.path(of: name)
            let preprocessing =
                profile == .openCLIP
                ? try ImagePreprocessing.openCLIP(document, path: path)
                : try ImagePreprocessing.transformers(document, path: path)
            guard preprocessing.height == vision.imageSize, preprocessing.width == vision.imageSize
            else {
                throw .configuration(
                    path: path, field: "crop_size",
                    expected: "\(vision.imageSize) × \(vision.imageSize), the image tower's size",
                    actual: "\(preprocessing.height) × \(preprocessing.width)")
            }
            return try PreprocessingSource(
                preprocessing, tower.imageProfile, origin: name,
                identity: try files.digest(of: name) ?? "")
        }
        return try PreprocessingSource(
            ImagePreprocessing(profile: profile, size: vision.imageSize), tower.imageProfile,
            origin: "CLIP's, for \(vision.imageSize) pixels", identity: "clip \(vision.imageSize)")
    }

    /// - Parameter profile: asked for instead of the checkpoint's own.
    private init(
        _ preprocessing: ImagePreprocessing, _ profile: ImagePreprocessing.Profile?,
        origin: String, identity: String
    ) throws(EncoderError) {
        let profile = profile ?? preprocessing.profile
        self.preprocessing = try preprocessing.adopting(profile)
        self.origin = origin
        self.identity = "\(profile.identity) \(identity)"
    }
}

extension CheckpointTower {
    /// How texts are cleaned: pipelines read their text with transformers' tokenizer, also where the
    /// weights carry OpenCLIP's names.
    var cleaning: TextCleaning {
        role == .clip && configuration.layout == .openCLIP ? .openCLIP : .transformers
    }
}

extension CheckpointFiles {
    /// The digest of a file's bytes; `nil` when there is none of this name.
    fileprivate func digest(of name: String) throws(EncoderError) -> String? {
        guard let bytes = try bytes(named: name) else { return nil }
        let digest = ContentDigest()
        try bytes.readPieces(0..<bytes.count, length: MappedBytes.pieceLength) { digest.update($0) }
        return digest.hexDigest()
    }
}

extension CheckpointSurvey {
    /// The digest of everything that decides results. The first line changes when the meaning of the
    /// others does.
    func fingerprint(tokenizer: String?, preprocessing: String?) -> String {
        let digest = ContentDigest()
        func line(_ text: String) { digest.update(text + "\n") }
        line("guidanced model 2")
        line("layout \(configuration.layout.rawValue)")
        line("text " + (configuration.text.map { JSONValue.object($0.json).text() } ?? "none"))
        line("image " + (configuration.vision.map { JSONValue.object($0.json).text() } ?? "none"))
        line("scale \(logitScale.bitPattern)")
        line("tokenizer \(tokenizer ?? "none")")
        line("preprocessing \(preprocessing ?? "none")")
        for tensor in (textTensors + visionTensors + scaleTensors).sorted(by: { $0.name < $1.name })
        {
            line("tensor \(tensor.type.rawValue) \(tensor.shape) \(tensor.digest) \(tensor.name)")
        }
        return digest.hexDigest()
    }
}
