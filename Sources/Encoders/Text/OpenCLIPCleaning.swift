/// What open_clip's `SimpleTokenizer` does to text before it splits it (`clean="lower"`).
enum OpenCLIPCleaning {
    /// `ftfy.fix_text`, `html.unescape` twice, every run of white space one space and none at the
    /// ends, lower case.
    static func cleaned(_ text: [UInt32]) -> [UInt32] {
        let references = CharacterReferences.shared
        let tables = UnicodeTables.shared
        let fixed = references.unescaped(references.unescaped(TextRepair.fixed(text)))
        var spaced: [UInt32] = []
        spaced.reserveCapacity(fixed.count)
        var isPending = false
        for scalar in fixed {
            if tables[scalar].contains(.space) {
                isPending = !spaced.isEmpty
            } else {
                if isPending { spaced.append(0x20) }
                isPending = false
                spaced.append(scalar)
            }
        }
        return tables.lowercased(spaced, .python)
    }
}
