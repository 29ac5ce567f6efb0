/// What the reference libraries hold a Unicode scalar to be, as bits of one word.
///
/// They disagree, because each brings its own version of Unicode, so some facts exist once a
/// library. The bits from 24 up hold the canonical combining class.
struct ScalarProperties: OptionSet {
    let rawValue: UInt32

    /// Oniguruma's classes (transformers).
    static let transformersLetter = ScalarProperties(rawValue: 1 << 0)
    static let transformersNumber = ScalarProperties(rawValue: 1 << 1)
    static let transformersSkipped = ScalarProperties(rawValue: 1 << 2)
    /// The classes of Python's `regex` module (open_clip).
    static let openCLIPLetter = ScalarProperties(rawValue: 1 << 3)
    static let openCLIPNumber = ScalarProperties(rawValue: 1 << 4)
    static let openCLIPSkipped = ScalarProperties(rawValue: 1 << 5)
    /// Python's `str.isspace`, `\w` and `\d`.
    static let space = ScalarProperties(rawValue: 1 << 6)
    static let word = ScalarProperties(rawValue: 1 << 7)
    static let digit = ScalarProperties(rawValue: 1 << 8)
    /// Python's context for the final sigma.
    static let cased = ScalarProperties(rawValue: 1 << 9)
    static let caseIgnorable = ScalarProperties(rawValue: 1 << 10)
    /// Has a lower case, in Python (and tokenizers) or only in tokenizers.
    static let lowers = ScalarProperties(rawValue: 1 << 11)
    static let lowersInTokenizers = ScalarProperties(rawValue: 1 << 12)
    /// Has a canonical decomposition; may be the second part of a composition.
    static let decomposes = ScalarProperties(rawValue: 1 << 13)
    static let composes = ScalarProperties(rawValue: 1 << 14)
    /// Facts of normalisation that the older Unicode of tokenizers does not have.
    static let decompositionUnknownToTokenizers = ScalarProperties(rawValue: 1 << 15)
    static let combiningUnknownToTokenizers = ScalarProperties(rawValue: 1 << 16)

    static func combining(_ value: UInt32) -> ScalarProperties {
        ScalarProperties(rawValue: value << 24)
    }

    /// The canonical combining class, 0 for starters.
    func combiningClass(_ edition: UnicodeEdition) -> UInt32 {
        if edition == .tokenizers, contains(.combiningUnknownToTokenizers) { return 0 }
        return rawValue >> 24
    }

    /// Whether a scalar can matter to NFC at all.
    var concernsNormalization: Bool {
        rawValue >> 24 != 0 || !isDisjoint(with: [.decomposes, .composes])
    }
}

/// Whose version of Unicode a text step follows.
enum UnicodeEdition {
    /// Python 3.11's `unicodedata` and `str` (Unicode 14): ftfy and open_clip.
    case python
    /// The Rust crates inside tokenizers 0.23.
    case tokenizers
}
