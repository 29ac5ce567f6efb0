/// The language that a prompt is written in, by its wire name.
public enum PromptSyntax: String, Sendable, CaseIterable {
    /// The text as it is.
    case plain
    /// AUTOMATIC1111's stable-diffusion-webui.
    case a1111
    /// ComfyUI.
    case comfy

    /// Deeper brackets are refused: the time to weight a text grows with its depth.
    public static let deepestNesting = 200

    /// Splits a prompt into pieces of one weight each, by the rules of the dialect.
    ///
    /// Pieces come in the order of the text, without empty ones; the text of a piece keeps its
    /// white space. A prompt without text gives no pieces.
    ///
    /// - Throws: `PromptError.syntax` for a weight that is no finite number in single precision, and
    ///   for brackets nested deeper than `deepestNesting`. Nothing else is an error: brackets that
    ///   do not match mean what they mean to the original.
    public func parse(_ prompt: String) throws(PromptError) -> [PromptPiece] {
        switch self {
        case .plain: prompt.isEmpty ? [] : [.text(prompt, weight: 1)]
        case .a1111: try AttentionSyntax.parse(prompt)
        case .comfy: try ComfySyntax.parse(prompt)
        }
    }
}

/// A part of a prompt after its syntax has been read.
public enum PromptPiece: Sendable, Equatable {
    /// Text of one weight; 1 is neutral.
    case text(String, weight: Double)
    /// The chunk of tokens ends here, full or not (`BREAK`).
    case chunkBreak
}

/// What can be wrong with a prompt.
public enum PromptError: Error, Equatable, Sendable {
    /// The syntax is wrong at a Unicode scalar of the prompt, counted from 0.
    case syntax(offset: Int, message: String)
    /// Part of the prompt does not fit and was not to be dropped; `tokens` includes start and end.
    case tooLong(tokens: Int, limit: Int, excess: String)
    /// The text tower has no room for a prompt beside the start and the end token.
    case contextLength(Int)
}

extension PromptError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .syntax(let offset, let message):
            "prompt syntax at character \(offset): \(message)"
        case .tooLong(let tokens, let limit, let excess):
            "the prompt has \(tokens) tokens, the limit is \(limit); this does not fit: \(excess)"
        case .contextLength(let length):
            "context length: expected at least 3, found \(length)"
        }
    }
}
