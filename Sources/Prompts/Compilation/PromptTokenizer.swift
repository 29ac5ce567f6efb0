/// What the prompt languages need of a text tower's tokenizer.
public protocol PromptTokenizer: Sendable {
    var startToken: Int32 { get }
    var endToken: Int32 { get }
    /// What shorter rows are filled up with when nothing else is said.
    var padToken: Int32 { get }

    /// The content tokens of a text, without start and end.
    func encode(_ text: String) -> [Int32]

    /// Whether a word ends with a token.
    func endsWord(_ token: Int32) -> Bool

    /// What is left of a text, cleaned, behind its first `count` tokens.
    func text(_ text: String, behind count: Int) -> String

    /// An encoder of many short texts one after the other, each by itself.
    func makePieceEncoder() -> any PromptPieceEncoder
}

/// Gives what `PromptTokenizer.encode(_:)` gives, in memory of its own.
public protocol PromptPieceEncoder {
    mutating func encode(_ text: String) -> [Int32]
}
