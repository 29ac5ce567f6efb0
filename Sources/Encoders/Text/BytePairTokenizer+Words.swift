extension BytePairTokenizer {
    /// Whether a word ends with a token; tokens that the vocabulary lacks, and those that stand for
    /// something else than text, end none.
    public func endsWord(_ token: Int32) -> Bool {
        vocabulary.bytes(of: [token]).suffix(Vocabulary.endOfWord.count)
            .elementsEqual(Vocabulary.endOfWord)
    }
}
