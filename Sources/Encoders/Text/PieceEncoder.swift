/// Encodes many short texts one after the other, each by itself, as a prompt in pieces needs it: the
/// memory that one text took serves the next.
public struct PieceEncoder {
    private let tokenizer: BytePairTokenizer
    private var merger: WordMerger
    private var encoded = EncodedText()

    public init(_ tokenizer: BytePairTokenizer) {
        self.tokenizer = tokenizer
        merger = tokenizer.makeMerger()
    }

    /// The content tokens of a text, without start and end: what `BytePairTokenizer.encode(_:)` gives.
    public mutating func encode(_ text: String) -> [Int32] {
        encoded.removeAll()
        tokenizer.append(text: [UInt32](scalarsOf: text), to: &encoded, &merger)
        return encoded.tokens
    }
}
