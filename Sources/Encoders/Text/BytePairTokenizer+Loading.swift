import CEmbedded
import JSON

extension BytePairTokenizer {
    /// The tokenizer of a checkpoint.
    ///
    /// Reads `tokenizer.json`, or else `vocab.json` and `merges.txt`; the names of special tokens from
    /// `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`, whichever there
    /// are. A checkpoint without any vocabulary gets CLIP's own (`path` says so).
    ///
    /// - Throws: `EncoderError.file` when one of a pair of files is missing or a file cannot be
    ///   read, and the errors of the other initialisers.
    public static func load(
        _ files: CheckpointFiles, cleaning: TextCleaning
    ) throws(EncoderError) -> BytePairTokenizer {
        func read(_ name: String) throws(EncoderError) -> [UInt8]? {
            guard let bytes = try files.bytes(named: name) else { return nil }
            guard bytes.count <= TokenizerFiles.sizeLimit else {
                throw .tooLarge(
                    what: files.path(of: name), limit: TokenizerFiles.sizeLimit,
                    actual: bytes.count)
            }
            return try bytes.array()
        }
        func document(_ name: String) throws(EncoderError) -> TokenizerFiles.JSONFile? {
            guard let bytes = try read(name) else { return nil }
            return try TokenizerFiles.JSONFile(bytes, path: files.path(of: name))
        }
        var parts = TokenizerFiles(path: files.path)
        if let bytes = try read("tokenizer.json") {
            try parts.readTokenizer(bytes, path: files.path(of: "tokenizer.json"))
        } else if let vocabulary = try read("vocab.json") {
            guard let merges = try read("merges.txt") else {
                throw .file(
                    path: files.path(of: "merges.txt"), reason: "is missing beside vocab.json")
            }
            try parts.readVocabulary(vocabulary, path: files.path(of: "vocab.json"))
            try parts.readMerges(merges, path: files.path(of: "merges.txt"))
        } else if files.names.contains("merges.txt") {
            throw .file(path: files.path(of: "vocab.json"), reason: "is missing beside merges.txt")
        } else {
            return clip(cleaning: cleaning)
        }
        try parts.readSpecials(
            configuration: try document("tokenizer_config.json"),
            specialTokensMap: try document("special_tokens_map.json"),
            addedTokens: try document("added_tokens.json"))
        return try parts.tokenizer(cleaning: cleaning)
    }

    /// A tokenizer from the bytes of `vocab.json` and `merges.txt`, its special tokens by their names.
    ///
    /// - Parameter path: where the bytes come from, for messages.
    /// - Throws: `EncoderError.malformed` or `.configuration` when the bytes are no vocabulary or do
    ///   not fit together.
    public static func parse(
        vocabulary: [UInt8], merges: [UInt8], path: String, cleaning: TextCleaning
    ) throws(EncoderError) -> BytePairTokenizer {
        var parts = TokenizerFiles(path: path)
        try parts.readVocabulary(vocabulary, path: path + "/vocab.json")
        try parts.readMerges(merges, path: path + "/merges.txt")
        try parts.readSpecials(configuration: nil, specialTokensMap: nil, addedTokens: nil)
        return try parts.tokenizer(cleaning: cleaning)
    }

    /// A tokenizer from the bytes of `tokenizer.json`.
    ///
    /// Of the steps before the model only `cleaning` counts, as in transformers, which builds
    /// CLIP's steps anew whatever the file says.
    ///
    /// - Throws: as `parse(vocabulary:merges:path:cleaning:)`, and `EncoderError.configuration` for a
    ///   model that is not CLIP's kind of byte-pair encoding.
    public static func parse(
        tokenizerJSON: [UInt8], path: String, cleaning: TextCleaning
    ) throws(EncoderError) -> BytePairTokenizer {
        var parts = TokenizerFiles(path: path)
        try parts.readTokenizer(tokenizerJSON, path: path)
        try parts.readSpecials(configuration: nil, specialTokensMap: nil, addedTokens: nil)
        return try parts.tokenizer(cleaning: cleaning)
    }

    /// The tokenizer with CLIP's own vocabulary of 49,408 tokens, which is part of the program.
    public static func clip(cleaning: TextCleaning) -> BytePairTokenizer {
        switch cleaning {
        case .transformers: clipForTransformers
        case .openCLIP: clipForOpenCLIP
        }
    }

    /// CLIP's own tokenizer with another padding token; `nil` for its end token.
    static func clip(cleaning: TextCleaning, padToken: Int32?) -> BytePairTokenizer {
        guard let padToken else { return clip(cleaning: cleaning) }
        return makeCLIP(cleaning, padToken: padToken)
    }

    private static let clipForTransformers = makeCLIP(.transformers, padToken: nil)
    private static let clipForOpenCLIP = makeCLIP(.openCLIP, padToken: nil)

    /// What the built-in vocabulary calls itself in `path`.
    public static let builtInPath = "built-in CLIP vocabulary"

    private static let clipVocabulary: (vocabulary: Vocabulary, start: Int32, end: Int32) = {
        var spellings: [[UInt8]] = Vocabulary.bytesInOrder.map { byte in
            var spelling: [UInt8] = []
            spelling.appendUTF8(Vocabulary.byteSymbols[Int(byte)])
            return spelling
        }
        spellings += spellings.map { $0 + Vocabulary.endOfWord }
        var tokens: [[UInt8]: Int32] = [:]
        tokens.reserveCapacity(50_000)
        for (token, spelling) in spellings.enumerated() { tokens[spelling] = Int32(token) }
        let lines = EmbeddedTable.lines(of: guidanced_clip_merges())
        var table = MergeTable(capacity: lines.count)
        for (rank, line) in lines.enumerated() {
            let parts = line.split(separator: UInt8(ascii: " "))
            guard parts.count == 2, let left = tokens[Array(parts[0])],
                let right = tokens[Array(parts[1])]
            else { continue }
            let token = Int32(512 + rank)
            tokens[Array(parts[0] + parts[1])] = token
            table.insert(left, right, .init(rank: UInt32(rank), token: token))
        }
        let start = Int32(512 + lines.count)
        tokens[Array("<|startoftext|>".utf8)] = start
        tokens[Array("<|endoftext|>".utf8)] = start + 1
        guard
            let vocabulary = Vocabulary(
                tokens: tokens, merges: table, unknown: start + 1, added: [:])
        else { preconditionFailure("the built-in vocabulary has every byte") }
        return (vocabulary, start, start + 1)
    }()

    /// How CLIP's own vocabulary spells its tokens, from token 0 on.
    package static var clipSpellings: [String] {
        let bytes: [String] = Vocabulary.bytesInOrder.map { byte in
            var spelling: [UInt8] = []
            spelling.appendUTF8(Vocabulary.byteSymbols[Int(byte)])
            return String(decoding: spelling, as: UTF8.self)
        }
        let merges = EmbeddedTable.lines(of: guidanced_clip_merges()).map { line in
            String(decoding: line.filter { $0 != UInt8(ascii: " ") }, as: UTF8.self)
        }
        return bytes + bytes.map { $0 + "</w>" } + merges + ["<|startoftext|>", "<|endoftext|>"]
    }

    private static func makeCLIP(
        _ cleaning: TextCleaning, padToken: Int32?
    ) -> BytePairTokenizer {
        let (vocabulary, start, end) = clipVocabulary
        // As where a file names it: SDXL's second tokenizer finds its pad token "!" in the text.
        var pad: [AddedToken] = []
        if let padToken, clipSpellings.indices.contains(Int(padToken)) {
            pad = [AddedToken(content: clipSpellings[Int(padToken)], token: padToken)]
        }
        return BytePairTokenizer(
            vocabulary: vocabulary,
            special: SpecialTokens(start: start, end: end, pad: padToken ?? end),
            added: [
                AddedToken(content: "<|startoftext|>", token: start),
                AddedToken(content: "<|endoftext|>", token: end),
            ] + pad, cleaning: cleaning, path: builtInPath)
    }
}
