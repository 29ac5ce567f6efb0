/// A text tower ready for conditioning, with its tokenizer.
public final class TextEncoder: Sendable {
    public let tower: any TextTower
    public let tokenizer: BytePairTokenizer
    /// Whether the checkpoint stores the tower without its last block, as diffusers does where a
    /// sampler uses the last but one.
    public let isTrimmed: Bool
    /// Whether rows are filled up with the tokenizer's own padding token, as a pipeline that brings its
    /// tokenizer does, instead of the recipe's.
    public let usesTokenizerPadding: Bool

    public init(
        tower: any TextTower, tokenizer: BytePairTokenizer, isTrimmed: Bool = false,
        usesTokenizerPadding: Bool = false
    ) {
        self.tower = tower
        self.tokenizer = tokenizer
        self.isTrimmed = isTrimmed
        self.usesTokenizerPadding = usesTokenizerPadding
    }

    public var sizes: TextTowerSizes { tower.sizes }
}
