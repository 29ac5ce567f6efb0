/// How text is cleaned and split before byte-pair encoding.
///
/// Checkpoints of both families share one vocabulary but not the steps before it, so the same text
/// can get other tokens; a model is served with the policy of the library it comes from.
public enum TextCleaning: String, Sendable, CaseIterable {
    /// transformers' `CLIPTokenizer` (5.x): NFC, white space collapsed, lower case without context;
    /// the special tokens of the files are found in the text.
    case transformers
    /// open_clip's `SimpleTokenizer`: ftfy, HTML references, white space collapsed, Python's lower
    /// case; `<start_of_text>` and `<end_of_text>` are found in the text.
    case openCLIP = "open_clip"
}

/// What to do with a text that has more tokens than the text tower has positions.
public enum Overflow: String, Sendable, CaseIterable {
    /// Refuse it, saying which part does not fit.
    case error
    /// Keep the first tokens, as both reference libraries do, and report what was dropped.
    case truncate
}

/// The tokens of one text, and what was left out of them.
public struct TokenizedText: Sendable, Equatable {
    /// Start token, content, end token; no padding.
    public let tokens: [Int32]
    /// How many content tokens did not fit.
    public let droppedTokens: Int
    /// The piece of the cleaned text that did not fit; it begins with the first character of which
    /// some byte was dropped.
    public let droppedText: String
    /// Position of the end token whose hidden state is pooled: the first in `tokens`, as in both
    /// libraries, which matters when the text itself spells the end token.
    public let endIndex: Int
}
