extension UnicodeTables {
    /// Lower case as the edition has it.
    ///
    /// Python's `str.lower` looks around a capital sigma: at the end of a word it becomes `ς`.
    /// Rust's mapping, scalar by scalar, always writes `σ`. Both turn `İ` into `i` and U+0307.
    func lowercased(_ text: [UInt32], _ edition: UnicodeEdition) -> [UInt32] {
        var out: [UInt32] = []
        out.reserveCapacity(text.count)
        for (index, scalar) in text.enumerated() {
            if scalar < 0x80 {
                out.append(scalar &- 0x41 < 26 ? scalar + 0x20 : scalar)
                continue
            }
            let properties = self[scalar]
            if properties.contains(.lowers) {
                if scalar == 0x130 {
                    out += [0x69, 0x307]
                } else if scalar == 0x3a3, edition == .python, isFinalSigma(text, at: index) {
                    out.append(0x3c2)
                } else {
                    out.append(lowercase[scalar] ?? scalar)
                }
            } else if edition == .tokenizers, properties.contains(.lowersInTokenizers) {
                out.append(lowercaseOfTokenizers[scalar] ?? scalar)
            } else {
                out.append(scalar)
            }
        }
        return out
    }

    /// A cased letter before, none after, case-ignorable scalars left out of account.
    private func isFinalSigma(_ text: [UInt32], at index: Int) -> Bool {
        var before = index - 1
        while before >= 0, self[text[before]].contains(.caseIgnorable) { before -= 1 }
        guard before >= 0, self[text[before]].contains(.cased) else { return false }
        var after = index + 1
        while after < text.count, self[text[after]].contains(.caseIgnorable) { after += 1 }
        return after == text.count || !self[text[after]].contains(.cased)
    }
}
