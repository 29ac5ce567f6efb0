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

    /// Appends what stands at its positions, of one weight.
    func append(to entries: inout [WeightedEntry], weight: Float) {
        switch self {
        case .token(let token): entries.append(.init(entry: .token(token), weight: weight))
        case .embedding(let name, let vectors, _):
            for vector in 0..<vectors {
                entries.append(
                    .init(entry: .embedding(name: name, vector: vector), weight: weight))
            }
        case .vector(let name, let vector):
            entries.append(.init(entry: .embedding(name: name, vector: vector), weight: weight))
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
    func text(after kept: Int, _ tokenizer: any PromptTokenizer) -> String {
        guard kept > 0, !isName else { return text }
        return tokenizer.text(text, behind: units.prefix(kept).reduce(0) { $0 + $1.tokens })
    }
}

/// Makes content of text by the rules of a dialect.
struct ContentReader: Sendable {
    let syntax: PromptSyntax
    /// The number of vectors of each textual inversion.
    let embeddings: [String: Int]

    /// A1111: names by their first token, long ones first.
    private let spelled: [Int32: [(tokens: [Int32], name: String)]]
    /// plain, compel: names by how they stand between `<` and `>`, in lower case.
    private let bracketed: [[Unicode.Scalar]: String]
    /// The longest of them, and the most `>` in one.
    private let longestName: Int
    private let mostMarks: Int

    init(syntax: PromptSyntax, tokenizer: any PromptTokenizer, embeddings: [String: Int]) {
        self.syntax = syntax
        self.embeddings = embeddings
        var spelled: [Int32: [(tokens: [Int32], name: String)]] = [:]
        var bracketed: [[Unicode.Scalar]: String] = [:]
        // In order, so that of names spelled alike the first counts.
        for name in embeddings.keys.sorted() {
            switch syntax {
            case .a1111:
                let tokens = tokenizer.encode(name)
                guard let first = tokens.first else { continue }
                var others = spelled[first] ?? []
                let place = others.firstIndex { $0.tokens.count < tokens.count }
                others.insert((tokens, name), at: place ?? others.count)
                spelled[first] = others
            case .plain, .compel:
                let token = name.hasPrefix("<") && name.hasSuffix(">") ? name : "<\(name)>"
                let spelling = Self.lowercased(Array(token.unicodeScalars)).scalars
                if bracketed[spelling] == nil { bracketed[spelling] = name }
            case .comfy:
                break
            }
        }
        self.spelled = spelled
        self.bracketed = bracketed
        longestName = bracketed.keys.map(\.count).max() ?? 0
        mostMarks = bracketed.keys.map { $0.count { $0 == ">" } }.max() ?? 0
    }

    /// The runs of a text, and names of textual inversions that do not exist and are left out.
    ///
    /// - Parameter encoder: of the reader's tokenizer.
    func runs(
        of text: String, _ encoder: inout any PromptPieceEncoder
    ) -> (runs: [ContentRun], unknown: [String]) {
        switch syntax {
        case .plain, .compel: (bracketedRuns(text, &encoder), [])
        case .a1111: ([spelledRun(text, &encoder)], [])
        case .comfy: comfyRuns(text, &encoder)
        }
    }

    private func textRun(_ text: String, _ encoder: inout any PromptPieceEncoder) -> ContentRun {
        ContentRun(text: text, units: encoder.encode(text).map { .token($0) })
    }

    private func nameRun(_ text: String, _ unit: ContentUnit) -> ContentRun {
        ContentRun(text: text, units: [unit], isName: true)
    }

    // MARK: A1111

    /// Names are found among the tokens, the longest first.
    private func spelledRun(_ text: String, _ encoder: inout any PromptPieceEncoder) -> ContentRun {
        guard !spelled.isEmpty else { return textRun(text, &encoder) }
        let tokens = encoder.encode(text)
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

    /// Each scalar in lower case by itself, and which one each scalar of the result comes from.
    private static func lowercased(
        _ scalars: [Unicode.Scalar]
    ) -> (scalars: [Unicode.Scalar], origins: [Int]) {
        var lower: [Unicode.Scalar] = []
        var origins: [Int] = []
        for (index, scalar) in scalars.enumerated() {
            for part in scalar.properties.lowercaseMapping.unicodeScalars {
                lower.append(part)
                origins.append(index)
            }
        }
        return (lower, origins)
    }

    /// Names stand in the text as `<name>`, in any case, also within words; `<name>_1` is one vector.
    private func bracketedRuns(_ text: String, _ encoder: inout any PromptPieceEncoder)
        -> [ContentRun]
    {
        guard !bracketed.isEmpty, text.utf8.contains(UInt8(ascii: "<")) else {
            return [textRun(text, &encoder)]
        }
        let scalars = Array(text.unicodeScalars)
        let (lower, origins) = Self.lowercased(scalars)
        var runs: [ContentRun] = []
        // In `lower`.
        var start = 0
        var index = 0
        func source(_ range: Range<Int>) -> String {
            let end = range.upperBound < lower.count ? origins[range.upperBound] : scalars.count
            return scalars[origins[range.lowerBound]..<end].text
        }
        while index < lower.count {
            guard lower[index] == "<", let (unit, end) = bracketedUnit(lower, at: index) else {
                index += 1
                continue
            }
            if index > start { runs.append(textRun(source(start..<index), &encoder)) }
            runs.append(nameRun(source(index..<end), unit))
            start = end
            index = end
        }
        if start < lower.count { runs.append(textRun(source(start..<lower.count), &encoder)) }
        return runs
    }

    /// The longest name that begins at `<`, and where it ends.
    private func bracketedUnit(
        _ lower: [Unicode.Scalar], at start: Int
    ) -> (unit: ContentUnit, end: Int)? {
        var found: (name: String, end: Int)?
        var marks = 0
        var index = start
        while index < min(lower.count, start + longestName), marks < mostMarks {
            if lower[index] == ">" {
                marks += 1
                if let name = bracketed[Array(lower[start...index])] { found = (name, index + 1) }
            }
            index += 1
        }
        guard let (name, end) = found, let vectors = embeddings[name] else { return nil }
        var number = 0
        var digits = end + 1
        if end < lower.count, lower[end] == "_" {
            // As many digits as make the number of a vector.
            while digits < lower.count, ("0"..."9").contains(lower[digits]),
                case let next = number * 10 + Int(lower[digits].value) - 0x30,
                (1..<max(1, vectors)).contains(next)
            {
                number = next
                digits += 1
            }
        }
        return number > 0
            ? (.vector(name: name, vector: number), digits)
            : (.embedding(name: name, vectors: vectors, tokens: 1), end)
    }

    // MARK: ComfyUI

    private static let mark = Array("embedding:".unicodeScalars)

    /// Names follow `embedding:` at the beginning of a text or behind white space, and reach to the next
    /// white space, `<` or `[`, unless the name has such a bracket; commas around it do not belong to it.
    private func comfyRuns(
        _ text: String, _ encoder: inout any PromptPieceEncoder
    ) -> (runs: [ContentRun], unknown: [String]) {
        if !text.utf8.contains(UInt8(ascii: ":")) {
            return (text.isEmpty ? [] : [textRun(text, &encoder)], [])
        }
        var runs: [ContentRun] = []
        var unknown: [String] = []
        let source = SourceText(text)
        var words: [ArraySlice<Unicode.Scalar>] = []
        var start = 0
        for index in source.scalars.indices
        where source.scalars[index].isPythonSpace && index >= start
            && source.hasWord(Self.mark, at: index + 1)
        {
            words.append(source.scalars[start..<index])
            start = index + 1
        }
        words.append(source.scalars[start...])
        for word in words where !word.isEmpty {
            guard word.starts(with: Self.mark) else {
                runs.append(textRun(word.text, &encoder))
                continue
            }
            let behind = word.dropFirst(Self.mark.count).drop(while: \.isPythonSpace)
            var spelled = behind.prefix { !$0.isPythonSpace }
            // A name that has a bracket itself is found all the same.
            if embeddingName(spelled.text) == nil {
                spelled = spelled.prefix { $0 != "<" && $0 != "[" }
            }
            var leftover = behind.dropFirst(spelled.count).trimmed.text
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
            if !leftover.isEmpty { runs.append(textRun(leftover, &encoder)) }
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
