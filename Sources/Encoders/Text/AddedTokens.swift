/// A token that is looked for in the text before anything else is done to it.
struct AddedToken: Sendable, Equatable {
    var content: String
    var token: Int32
    /// Looked for in cleaned text, its content cleaned alike.
    var isNormalized = false
    /// Takes the white space before or after it along.
    var stripsLeft = false
    var stripsRight = false
}

/// Finds added tokens: at each place the longest that begins there, left to right.
struct AddedTokenMatcher: Sendable {
    private var byFirst: [UInt32: [(content: [UInt32], token: AddedToken)]] = [:]
    /// Whether some token begins with each ASCII character: few do, and most texts have none of them.
    private var beginsWithASCII = [Bool](repeating: false, count: 0x80)
    private var beginsWithOther = false

    /// - Parameter clean: what is done to the contents before they are looked for.
    init(_ tokens: [AddedToken], clean: ([UInt32]) -> [UInt32]) {
        for token in tokens {
            let content = clean([UInt32](scalarsOf: token.content))
            guard let first = content.first else { continue }
            byFirst[first, default: []].append((content, token))
            if first < 0x80 { beginsWithASCII[Int(first)] = true } else { beginsWithOther = true }
        }
        for first in byFirst.keys {
            byFirst[first]?.sort { $0.content.count > $1.content.count }
        }
    }

    var isEmpty: Bool { byFirst.isEmpty }

    /// Whether a scalar of the text begins a token.
    func mayOccur(in text: [UInt32]) -> Bool {
        guard !isEmpty else { return false }
        return text.contains(where: mayBegin)
    }

    private func mayBegin(with scalar: UInt32) -> Bool {
        scalar < 0x80 ? beginsWithASCII[Int(scalar)] : beginsWithOther
    }

    enum Part {
        case text(Range<Int>)
        case token(Int32, Range<Int>)
    }

    /// The text in parts; empty ranges are left out.
    func split(_ text: [UInt32]) -> [Part] {
        guard !isEmpty else { return text.isEmpty ? [] : [.text(text.indices)] }
        let tables = UnicodeTables.shared
        func isSpace(_ index: Int) -> Bool { tables[text[index]].contains(.transformersSkipped) }
        var parts: [Part] = []
        /// Where the text begins that belongs to no part yet.
        var open = 0
        var index = 0
        while index < text.count {
            guard mayBegin(with: text[index]), let candidates = byFirst[text[index]],
                let (content, token) = candidates.first(where: {
                    text[index...].starts(with: $0.content)
                })
            else {
                index += 1
                continue
            }
            var start = index
            var end = index + content.count
            index = end
            if token.stripsLeft { while start > open, isSpace(start - 1) { start -= 1 } }
            if token.stripsRight { while end < text.count, isSpace(end) { end += 1 } }
            start = max(start, open)
            if open < start { parts.append(.text(open..<start)) }
            parts.append(.token(token.token, start..<max(start, end)))
            open = max(start, end)
        }
        if open < text.count { parts.append(.text(open..<text.count)) }
        return parts
    }
}
