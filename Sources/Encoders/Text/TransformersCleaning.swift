/// What transformers' `CLIPTokenizer` does to text before it splits it.
enum TransformersCleaning {
    /// NFC, every run of white space one space, lower case.
    static func cleaned(_ text: [UInt32]) -> [UInt32] {
        if text.allSatisfy({ $0 < 0x80 }) { return cleanedASCII(text) }
        let tables = UnicodeTables.shared
        var spaced: [UInt32] = []
        spaced.reserveCapacity(text.count)
        var wasSpace = false
        for scalar in tables.composed(text, .tokenizers) {
            let isSpace = tables[scalar].contains(.transformersSkipped)
            if !isSpace {
                spaced.append(scalar)
            } else if !wasSpace {
                spaced.append(0x20)
            }
            wasSpace = isSpace
        }
        return tables.lowercased(spaced, .tokenizers)
    }

    /// The same in one pass: ASCII is its own NFC, and no letter's case needs a table.
    private static func cleanedASCII(_ text: [UInt32]) -> [UInt32] {
        var cleaned: [UInt32] = []
        cleaned.reserveCapacity(text.count)
        var wasSpace = false
        for scalar in text {
            let isSpace = scalar == 0x20 || (0x09...0x0d).contains(scalar)
            if !isSpace {
                cleaned.append(scalar &- 0x41 < 26 ? scalar + 0x20 : scalar)
            } else if !wasSpace {
                cleaned.append(0x20)
            }
            wasSpace = isSpace
        }
        return cleaned
    }
}
