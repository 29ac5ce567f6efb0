import JSON

/// Reads the files of a tokenizer: `vocab.json` and `merges.txt`, or `tokenizer.json`, and what
/// stands in `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`.
///
/// The order in which these override each other is that of transformers 5
/// (`PreTrainedTokenizerBase._from_pretrained`).
struct TokenizerFiles {
    /// Files larger than this are no tokenizer.
    static let sizeLimit = 128 << 20
    /// Tokens must leave room for arithmetic on 32 bits.
    private static let tokenLimit = Int(Int32.max) - 1

    let path: String
    private(set) var tokens: [[UInt8]: Int32] = [:]
    private(set) var merges: [(left: [UInt8], right: [UInt8])] = []
    /// By content.
    private(set) var added: [String: AddedToken] = [:]
    private var names = [
        "bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>",
    ]
    /// Named tokens that were given as objects, with their flags.
    private var described: [String: AddedToken] = [:]
    private var tokenizerAdded: [AddedToken] = []
    /// Special tokens without a name.
    private var additional: [AddedToken] = []

    init(path: String) { self.path = path }

    // MARK: vocabulary and merges

    /// `vocab.json`: an object from spelling to token.
    mutating func readVocabulary(_ bytes: [UInt8], path: String) throws(EncoderError) {
        try readVocabulary(try Self.parse(bytes, path), path: path, field: "the vocabulary")
    }

    private mutating func readVocabulary(
        _ value: JSONValue, path: String, field: String
    ) throws(EncoderError) {
        guard let object = value.objectValue else {
            throw Self.malformed(path, "\(field) as an object of tokens", value.kind)
        }
        tokens.reserveCapacity(object.count)
        var spellings: [Int32: String] = [:]
        spellings.reserveCapacity(object.count)
        for (spelling, value) in object.members {
            let token = try Self.token(value, path, "token \"\(spelling)\"")
            if let other = spellings.updateValue(spelling, forKey: token) {
                throw Self.malformed(
                    path, "each token number once",
                    "\(token) for \"\(other)\" and \"\(spelling)\"")
            }
            tokens[Array(spelling.utf8)] = token
        }
        guard !tokens.isEmpty else { throw Self.malformed(path, field, "no tokens") }
    }

    /// `merges.txt`: one "left right" a line in rank order; a first line may state a version.
    mutating func readMerges(_ bytes: [UInt8], path: String) throws(EncoderError) {
        var position = 0
        let content = bytes.starts(with: JSONValue.byteOrderMark) ? bytes.dropFirst(3) : bytes[...]
        let lines = content.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            let offset = position
            position += line.count + 1
            let line = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
            if line.starts(with: "#version".utf8) || line.starts(with: "\"bpe_simple_vocab".utf8) {
                continue
            }
            if line.isEmpty, index == lines.count - 1 { continue }
            guard let merge = Self.merge(line) else {
                throw .malformed(
                    path: path, offset: offset, expected: "a merge, \"left right\"",
                    actual: Self.quoted(line))
            }
            merges.append(merge)
        }
    }

    private static func merge(
        _ line: ArraySlice<UInt8>
    ) -> (left: [UInt8], right: [UInt8])? {
        let parts = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        guard parts.count == 2, !parts[0].isEmpty, !parts[1].isEmpty else { return nil }
        return (Array(parts[0]), Array(parts[1]))
    }

    /// `tokenizer.json` of the tokenizers library.
    mutating func readTokenizer(_ bytes: [UInt8], path: String) throws(EncoderError) {
        let document = try Self.parse(bytes, path)
        guard let model = document["model"], let fields = model.objectValue else {
            throw Self.malformed(
                path, "an object with a \"model\"", document["model"]?.kind ?? document.kind)
        }
        func require(_ field: String, _ accepted: [JSONValue], _ expected: String)
            throws(EncoderError)
        {
            let value = fields[field] ?? .null
            guard accepted.contains(value) else {
                throw .configuration(
                    path: path, field: "model.\(field)", expected: expected, actual: value.text())
            }
        }
        try require("type", ["BPE", .null], "\"BPE\"")
        try require("end_of_word_suffix", ["</w>"], "\"</w>\"")
        try require("continuing_subword_prefix", ["", .null], "nothing")
        try require("byte_fallback", [false, .null], "false")
        try require("ignore_merges", [false, .null], "false")
        try require("dropout", [.null, 0], "none")
        guard let vocabulary = fields["vocab"] else {
            throw .configuration(
                path: path, field: "model.vocab", expected: "the tokens", actual: "nothing")
        }
        try readVocabulary(vocabulary, path: path, field: "model.vocab")
        guard let list = fields["merges"]?.arrayValue else {
            throw .configuration(
                path: path, field: "model.merges", expected: "a list of merges",
                actual: (fields["merges"] ?? .null).kind)
        }
        for (index, value) in list.enumerated() {
            let merge: (left: [UInt8], right: [UInt8])?
            if let text = value.stringValue {
                merge = Self.merge(Array(text.utf8)[...])
            } else if let parts = value.arrayValue, parts.count == 2,
                let left = parts[0].stringValue, let right = parts[1].stringValue
            {
                merge = (Array(left.utf8), Array(right.utf8))
            } else {
                merge = nil
            }
            guard let merge else {
                throw .configuration(
                    path: path, field: "model.merges[\(index)]",
                    expected: "\"left right\" or [\"left\", \"right\"]", actual: value.kind)
            }
            merges.append(merge)
        }
        for (index, value) in (document["added_tokens"]?.arrayValue ?? []).enumerated() {
            let field = "added_tokens[\(index)]"
            let token = try Self.token(value["id"] ?? .null, path, "\(field).id")
            tokenizerAdded.append(try Self.addedToken(value, token, path, field))
        }
        // What the file pads with, unless a named token says otherwise.
        if let pad = document["padding"]?["pad_token"]?.stringValue { names["pad_token"] = pad }
    }

    // MARK: special and added tokens

    /// `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json`, each or none.
    mutating func readSpecials(
        configuration: JSONFile?, specialTokensMap: JSONFile?, addedTokens: JSONFile?
    ) throws(EncoderError) {
        if let configuration { try readNames(configuration) }
        if let configuration, let list = configuration.value["added_tokens_decoder"]?.objectValue {
            for (key, value) in list.members {
                let field = "added_tokens_decoder.\(key)"
                guard let number = Int(key) else {
                    throw .configuration(
                        path: configuration.path, field: field, expected: "a token number",
                        actual: "\"\(key)\"")
                }
                let token = try Self.token(.integer(number), configuration.path, field)
                add(try Self.addedToken(value, token, configuration.path, field))
            }
        } else {
            if let specialTokensMap { try readNames(specialTokensMap) }
            if let addedTokens {
                guard let object = addedTokens.value.objectValue else {
                    throw Self.malformed(
                        addedTokens.path, "an object of tokens", addedTokens.value.kind)
                }
                for (content, value) in object.members {
                    let token = try Self.token(value, addedTokens.path, "token \"\(content)\"")
                    let isSpecial = names.values.contains(content)
                    add(AddedToken(content: content, token: token, isNormalized: !isSpecial))
                }
            }
            for token in tokenizerAdded { add(token) }
        }
        // Named tokens are found in the text even where no file lists them.
        for (name, content) in names where added[content] == nil {
            guard let token = tokens[Array(content.utf8)] else { continue }
            var named = described[name] ?? AddedToken(content: content, token: token)
            named.token = token
            add(named)
        }
        for token in additional where added[token.content] == nil {
            if tokens[Array(token.content.utf8)] != nil { add(token) }
        }
    }

    struct JSONFile {
        let value: JSONValue
        let path: String

        init(_ bytes: [UInt8], path: String) throws(EncoderError) {
            value = try TokenizerFiles.parse(bytes, path)
            self.path = path
        }
    }

    /// A token keeps the number of the vocabulary, whatever a list of added tokens says.
    private mutating func add(_ token: AddedToken) {
        var token = token
        token.token = tokens[Array(token.content.utf8)] ?? token.token
        if !token.content.isEmpty { added[token.content] = token }
    }

    private mutating func readNames(_ file: JSONFile) throws(EncoderError) {
        guard file.value.objectValue != nil else {
            throw Self.malformed(file.path, "an object", file.value.kind)
        }
        for name in names.keys.sorted() {
            switch file.value[name] {
            case nil, .null: continue
            case .string(let content):
                names[name] = content
                described[name] = nil
            case .some(let value):
                let token = try Self.addedToken(value, 0, file.path, name)
                names[name] = token.content
                described[name] = token
            }
        }
        for name in ["additional_special_tokens", "extra_special_tokens"] {
            guard let list = file.value[name]?.arrayValue else { continue }
            additional = []
            for (index, value) in list.enumerated() {
                if let content = value.stringValue {
                    additional.append(AddedToken(content: content, token: 0))
                } else {
                    additional.append(
                        try Self.addedToken(value, 0, file.path, "\(name)[\(index)]"))
                }
            }
        }
    }

    private static func addedToken(
        _ value: JSONValue, _ token: Int32, _ path: String, _ field: String
    ) throws(EncoderError) -> AddedToken {
        guard let content = value["content"]?.stringValue else {
            throw .configuration(
                path: path, field: "\(field).content", expected: "a string",
                actual: (value["content"] ?? value).kind)
        }
        func flag(_ name: String) throws(EncoderError) -> Bool? {
            switch value[name] {
            case nil, .null: return nil
            case .bool(let flag): return flag
            case .some(let other):
                throw .configuration(
                    path: path, field: "\(field).\(name)", expected: "true or false",
                    actual: other.kind)
            }
        }
        guard try flag("single_word") != true else {
            throw .unsupported(
                what: "\(path): \(field).single_word", expected: "false", actual: "true")
        }
        let isSpecial = try flag("special") ?? true
        return AddedToken(
            content: content, token: token, isNormalized: try flag("normalized") ?? !isSpecial,
            stripsLeft: try flag("lstrip") ?? false, stripsRight: try flag("rstrip") ?? false)
    }

    // MARK: the tokenizer

    /// - Throws: `EncoderError.malformed` or `.configuration` when merges or special tokens are not
    ///   in the vocabulary, or when bytes are not and there is no unknown token.
    func tokenizer(cleaning: TextCleaning) throws(EncoderError) -> BytePairTokenizer {
        var table = MergeTable(capacity: merges.count)
        for (rank, merge) in merges.enumerated() {
            guard let left = tokens[merge.left], let right = tokens[merge.right],
                let whole = tokens[merge.left + merge.right]
            else {
                throw Self.malformed(
                    path, "both parts of merge \(rank) and the whole in the vocabulary",
                    Self.quoted((merge.left + [0x20] + merge.right)[...]))
            }
            table.insert(left, right, .init(rank: UInt32(rank), token: whole))
        }
        func token(_ name: String, _ alternatives: [String]) -> Int32? {
            for content in [names[name] ?? ""] + alternatives {
                if let token = added[content]?.token ?? tokens[Array(content.utf8)] { return token }
            }
            return nil
        }
        func missing(_ name: String) -> EncoderError {
            .configuration(
                path: path, field: name, expected: "a token of the vocabulary",
                actual: "\"\(names[name] ?? "")\"")
        }
        guard let start = token("bos_token", ["<start_of_text>"]) else {
            throw missing("bos_token")
        }
        guard let end = token("eos_token", ["<end_of_text>"]) else { throw missing("eos_token") }
        // The reference would add a token for an unknown name; here the end token pads.
        let pad = token("pad_token", []) ?? end
        let addedSpellings = Dictionary(
            added.values.map { (Array($0.content.utf8), $0.token) }, uniquingKeysWith: { $1 })
        guard
            let vocabulary = Vocabulary(
                tokens: tokens, merges: table, unknown: token("unk_token", []),
                added: addedSpellings)
        else {
            throw Self.malformed(
                path, "a token for every byte, inside and at the end of words, or an unknown token",
                "neither")
        }
        return BytePairTokenizer(
            vocabulary: vocabulary, special: SpecialTokens(start: start, end: end, pad: pad),
            added: added.values.sorted { $0.token < $1.token }, cleaning: cleaning, path: path)
    }

    // MARK: helpers

    static func parse(_ bytes: [UInt8], _ path: String) throws(EncoderError) -> JSONValue {
        guard bytes.count <= sizeLimit else {
            throw .tooLarge(what: path, limit: sizeLimit, actual: bytes.count)
        }
        do throws(JSONError) {
            return try JSONValue.parse(file: bytes)
        } catch {
            throw .malformed(
                path: path, offset: error.offset, expected: error.expected, actual: error.actual)
        }
    }

    private static func token(
        _ value: JSONValue, _ path: String, _ field: String
    ) throws(EncoderError) -> Int32 {
        guard let number = value.intValue, (0...tokenLimit).contains(number) else {
            throw .configuration(
                path: path, field: field, expected: "a token number from 0 to \(tokenLimit)",
                actual: value.intValue.map { "\($0)" } ?? value.kind)
        }
        return Int32(number)
    }

    private static func malformed(
        _ path: String, _ expected: String, _ actual: String
    ) -> EncoderError {
        .malformed(path: path, offset: nil, expected: expected, actual: actual)
    }

    private static func quoted(_ bytes: ArraySlice<UInt8>) -> String {
        let text = String(decoding: bytes.prefix(60), as: UTF8.self)
        return "\"\(text)\"" + (bytes.count > 60 ? "…" : "")
    }
}
