/// What transformers' `CLIPTokenizer` does to text before it splits it.
enum TransformersCleaning {
    /// NFC, every run of white space one space, lower case.
    static func cleaned(_ text: [UInt32]) -> [UInt32] {
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
}
