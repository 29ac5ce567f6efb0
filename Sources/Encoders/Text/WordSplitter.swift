/// Splits cleaned text into the words that byte-pair encoding works on, as the libraries' regular
/// expressions do; white space belongs to no word.
struct WordSplitter {
    let cleaning: TextCleaning

    /// A word of the text; `special` when it spells a special token.
    struct Word {
        let range: Range<Int>
        var special: Special?
    }

    enum Special {
        case start, end
    }

    private enum Kind {
        case skipped, letter, number, other
    }

    private static let tables = UnicodeTables.shared
    private static let longS: UInt32 = 0x17f
    /// transformers: once cleaned, these only remain where they are no special tokens. Its first
    /// expression keeps them whole, its second splits them before and after the letters.
    private static let bracketed = ["<|startoftext|>", "<|endoftext|>"].map {
        [UInt32](scalarsOf: $0)
    }
    private static let openCLIPSpecials: [(spelling: [UInt32], special: Special)] = [
        ([UInt32](scalarsOf: "<start_of_text>"), .start),
        ([UInt32](scalarsOf: "<end_of_text>"), .end),
    ]

    func forEachWord(in text: [UInt32], _ body: (Word) -> Void) {
        var index = 0
        while index < text.count {
            let scalar = text[index]
            if scalar == 0x3c, let end = emitSpecial(in: text, at: index, body) {
                index = end
                continue
            }
            if scalar == 0x27, let end = contraction(in: text, at: index) {
                body(Word(range: index..<end))
                index = end
                continue
            }
            let kind = kind(of: scalar)
            var end = index + 1
            switch kind {
            case .skipped:
                index = end
                continue
            case .number: break
            case .letter, .other:
                while end < text.count, self.kind(of: text[end]) == kind { end += 1 }
            }
            body(Word(range: index..<end))
            index = end
        }
    }

    private func kind(of scalar: UInt32) -> Kind {
        if scalar < 0x80 {
            if (0x61...0x7a).contains(scalar | 0x20) { return .letter }
            if (0x30...0x39).contains(scalar) { return .number }
            return scalar == 0x20 || (0x09...0x0d).contains(scalar) ? .skipped : .other
        }
        let properties = Self.tables[scalar]
        switch cleaning {
        case .transformers:
            if properties.contains(.transformersLetter) { return .letter }
            if properties.contains(.transformersNumber) { return .number }
            return properties.contains(.transformersSkipped) ? .skipped : .other
        case .openCLIP:
            if properties.contains(.openCLIPLetter) { return .letter }
            if properties.contains(.openCLIPNumber) { return .number }
            return properties.contains(.openCLIPSkipped) ? .skipped : .other
        }
    }

    /// Where `'s`, `'t`, `'re`, `'ve`, `'m`, `'ll` or `'d` ends.
    private func contraction(in text: [UInt32], at index: Int) -> Int? {
        guard index + 1 < text.count else { return nil }
        let second = index + 2 < text.count ? text[index + 2] : 0
        switch text[index + 1] {
        case 0x73, 0x74, 0x6d, 0x64: return index + 2
        case 0x72, 0x76: return second == 0x65 ? index + 3 : nil
        case 0x6c: return second == 0x6c ? index + 3 : nil
        case Self.longS: return cleaning == .openCLIP ? index + 2 : nil
        default: return nil
        }
    }

    private func emitSpecial(
        in text: [UInt32], at index: Int, _ body: (Word) -> Void
    ) -> Int? {
        switch cleaning {
        case .transformers:
            for spelling in Self.bracketed where matches(text, at: index, spelling) != nil {
                let end = index + spelling.count
                body(Word(range: index..<(index + 2)))
                body(Word(range: (index + 2)..<(end - 2)))
                body(Word(range: (end - 2)..<end))
                return end
            }
        case .openCLIP:
            for (spelling, special) in Self.openCLIPSpecials {
                guard let isExact = matches(text, at: index, spelling) else { continue }
                let end = index + spelling.count
                body(Word(range: index..<end, special: isExact ? special : nil))
                return end
            }
        }
        return nil
    }

    /// Whether a spelling stands at a place, and whether exactly so: open_clip's expression ignores
    /// case, which in lower-cased text leaves only the long s (`ſ`) in the place of an s.
    private func matches(_ text: [UInt32], at index: Int, _ spelling: [UInt32]) -> Bool? {
        guard index + spelling.count <= text.count else { return nil }
        var isExact = true
        for (offset, scalar) in spelling.enumerated() where text[index + offset] != scalar {
            guard cleaning == .openCLIP, scalar == 0x73, text[index + offset] == Self.longS else {
                return nil
            }
            isExact = false
        }
        return isExact
    }
}
