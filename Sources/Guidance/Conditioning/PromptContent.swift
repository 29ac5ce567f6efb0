import Encoders

/// Content that stays together: a token, or all vectors of a textual inversion.
enum ContentUnit: Sendable, Equatable {
    case token(Int32)
    /// `tokens` of the text were replaced.
    case embedding(name: String, vectors: Int, tokens: Int)
    /// One vector of a textual inversion, asked for by its number.
    case vector(name: String, vector: Int)

    var count: Int {
        if case .embedding(_, let vectors, _) = self { vectors } else { 1 }
    }

    /// How many tokens of its run it stands for.
    var tokens: Int {
        if case .embedding(_, _, let tokens) = self { tokens } else { 1 }
    }

    var entries: [TokenEntry] {
        switch self {
        case .token(let token): [.token(token)]
        case .embedding(let name, let vectors, _):
            (0..<vectors).map { .embedding(name: name, vector: $0) }
        case .vector(let name, let vector): [.embedding(name: name, vector: vector)]
        }
    }
}

/// A stretch of text that was tokenized in one go, or one name of a textual inversion.
struct ContentRun: Sendable {
    var text: String
    var units: [ContentUnit]
    /// Whether the text spells a textual inversion and has no tokens of its own.
    var isName = false

    /// The text from `kept` units on.
    func text(after kept: Int, _ tokenizer: BytePairTokenizer) -> String {
        guard kept > 0, !isName else { return text }
        let tokens = units.prefix(kept).reduce(0) { $0 + $1.tokens }
        // The tokenizer knows where in the cleaned text its tokens begin. A context of at least two
        // positions is all that it asks for.
        let cut = try? tokenizer.tokenize(text, contextLength: tokens + 2, overflow: .truncate)
        return cut?.droppedText ?? text
    }
}

/// Makes content of text by the rules of a dialect.
struct ContentReader: Sendable {
    let syntax: PromptSyntax
    let tokenizer: BytePairTokenizer
    /// The number of vectors of each textual inversion.
    let embeddings: [String: Int]

    /// A1111: names by their first token, long ones first.
    private let spelled: [Int32: [(tokens: [Int32], name: String)]]
    /// plain, compel: names in brackets, in lower case, long ones first, with the vector that each
    /// stands for (nil: all).
    private let bracketed: [(spelling: [Unicode.Scalar], name: String, vector: Int?)]

    /// - Throws: `PromptError.embedding` for a textual inversion that fits into no chunk.
    init(
        syntax: PromptSyntax, tokenizer: BytePairTokenizer, embeddings: [String: Int],
        capacity: Int
    ) throws(PromptError) {
        self.syntax = syntax
        self.tokenizer = tokenizer
        self.embeddings = embeddings
        let names = embeddings.keys.sorted()
        for name in names {
            let vectors = embeddings[name] ?? 0
            guard !name.isEmpty, (1...capacity).contains(vectors) else {
                throw .embedding(name: name, vectors: vectors, limit: capacity)
            }
        }
        var spelled: [Int32: [(tokens: [Int32], name: String)]] = [:]
        var bracketed: [(spelling: [Unicode.Scalar], name: String, vector: Int?)] = []
        switch syntax {
        case .a1111:
            for name in names {
                let tokens = tokenizer.encode(name)
                guard let first = tokens.first else { continue }
                spelled[first, default: []].append((tokens, name))
            }
            spelled = spelled.mapValues { entries in
                // Stable, so that of names spelled alike the first counts.
                entries.enumerated()
                    .sorted {
                        ($1.element.tokens.count, $0.offset) < ($0.element.tokens.count, $1.offset)
                    }
                    .map(\.element)
            }
        case .plain, .compel:
            for name in names {
                let token = name.hasPrefix("<") && name.hasSuffix(">") ? name : "<\(name)>"
                bracketed.append((Self.lowercased(token), name, nil))
                for vector in 1..<max(1, embeddings[name] ?? 1) {
                    bracketed.append((Self.lowercased("\(token)_\(vector)"), name, vector))
                }
            }
            bracketed = bracketed.enumerated()
                .sorted {
                    ($1.element.spelling.count, $0.offset) < ($0.element.spelling.count, $1.offset)
                }
                .map(\.element)
        case .comfy:
            break
        }
        self.spelled = spelled
        self.bracketed = bracketed
    }

    /// The runs of a text, and names of textual inversions that do not exist and are left out.
    func runs(of text: String) -> (runs: [ContentRun], unknown: [String]) {
        switch syntax {
        case .plain, .compel: (bracketedRuns(text), [])
        case .a1111: ([spelledRun(text)], [])
        case .comfy: comfyRuns(text)
        }
    }

    private func textRun(_ text: String) -> ContentRun {
        ContentRun(text: text, units: tokenizer.encode(text).map { .token($0) })
    }

    private func nameRun(_ text: String, _ unit: ContentUnit) -> ContentRun {
        ContentRun(text: text, units: [unit], isName: true)
    }

    // MARK: A1111

    /// Names are found among the tokens, the longest first.
    private func spelledRun(_ text: String) -> ContentRun {
        guard !spelled.isEmpty else { return textRun(text) }
        let tokens = tokenizer.encode(text)
        var units: [ContentUnit] = []
        var index = 0
        while index < tokens.count {
            let match = spelled[tokens[index]]?.first {
                tokens[index...].starts(with: $0.tokens)
            }
            if let match, let vectors = embeddings[match.name] {
                units.append(
                    .embedding(name: match.name, vectors: vectors, tokens: match.tokens.count))
                index += match.tokens.count
            } else {
                units.append(.token(tokens[index]))
                index += 1
            }
        }
        return ContentRun(text: text, units: units)
    }

    // MARK: plain and compel

    private static func lowercased(_ text: String) -> [Unicode.Scalar] {
        text.unicodeScalars.flatMap { $0.properties.lowercaseMapping.unicodeScalars }
    }

    /// Names stand in the text as `<name>`, in any case, also within words.
    private func bracketedRuns(_ text: String) -> [ContentRun] {
        guard !bracketed.isEmpty, text.unicodeScalars.contains("<") else { return [textRun(text)] }
        let scalars = Array(text.unicodeScalars)
        // Lower case may be longer: each scalar on its own.
        let lower = scalars.map { Array($0.properties.lowercaseMapping.unicodeScalars) }
        func end(of spelling: [Unicode.Scalar], at start: Int) -> Int? {
            var rest = spelling[...]
            var index = start
            while !rest.isEmpty {
                guard index < lower.count, rest.starts(with: lower[index]) else { return nil }
                rest = rest.dropFirst(lower[index].count)
                index += 1
            }
            return index
        }
        var runs: [ContentRun] = []
        var start = 0
        var index = 0
        while index < scalars.count {
            guard scalars[index] == "<",
                let (entry, end) = bracketed.lazy
                    .compactMap({ entry in end(of: entry.spelling, at: index).map { (entry, $0) } })
                    .first
            else {
                index += 1
                continue
            }
            if index > start { runs.append(textRun(scalars[start..<index].text)) }
            let unit: ContentUnit =
                entry.vector.map { .vector(name: entry.name, vector: $0) }
                ?? .embedding(
                    name: entry.name, vectors: embeddings[entry.name] ?? 1, tokens: 1)
            runs.append(nameRun(scalars[index..<end].text, unit))
            start = end
            index = end
        }
        if start < scalars.count || runs.isEmpty {
            runs.append(textRun(scalars[start...].text))
        }
        return runs
    }

    // MARK: ComfyUI

    private static let mark = Array("embedding:".unicodeScalars)

    /// Names follow `embedding:` at the beginning of a text or behind a space or a new line, and
    /// reach to the next white space; commas around a name do not belong to it.
    private func comfyRuns(_ text: String) -> (runs: [ContentRun], unknown: [String]) {
        var runs: [ContentRun] = []
        var unknown: [String] = []
        let source = SourceText(text)
        var words: [ArraySlice<Unicode.Scalar>] = []
        var start = 0
        for index in source.scalars.indices
        where (source.scalars[index] == " " || source.scalars[index] == "\n")
            && index >= start && source.hasWord(Self.mark, at: index + 1)
        {
            words.append(source.scalars[start..<index])
            start = index + 1
        }
        words.append(source.scalars[start...])
        for word in words where !word.isEmpty {
            guard word.starts(with: Self.mark) else {
                runs.append(textRun(word.text))
                continue
            }
            let parts = word.dropFirst(Self.mark.count).split(whereSeparator: \.isPythonSpace)
            let spelled = parts.first ?? []
            var leftover = parts.dropFirst().map(\.text).joined(separator: " ")
            var name = embeddingName(spelled.text)
            var read = spelled
            if name == nil {
                read = spelled.drop { $0 == "," }
                while read.last == "," { read.removeLast() }
                if read.count < spelled.count {
                    name = embeddingName(read.text)
                    leftover = spelled.dropFirst(read.count).text + " " + leftover
                }
            }
            if let name, let vectors = embeddings[name] {
                runs.append(
                    nameRun(
                        "embedding:" + read.text,
                        .embedding(name: name, vectors: vectors, tokens: 1)))
            } else {
                unknown.append("embedding:" + read.text)
            }
            if !leftover.isEmpty { runs.append(textRun(leftover)) }
        }
        return (runs, unknown)
    }

    /// The embedding that a name means, which may have the ending of a file.
    private func embeddingName(_ spelled: String) -> String? {
        if embeddings[spelled] != nil { return spelled }
        for ending in [".safetensors", ".pt", ".bin"] where spelled.hasSuffix(ending) {
            let name = String(spelled.dropLast(ending.count))
            if embeddings[name] != nil { return name }
        }
        return nil
    }
}
