/// The language that a prompt is written in, by its wire name.
public enum PromptSyntax: String, Sendable, CaseIterable {
    /// The text as it is.
    case plain
    /// AUTOMATIC1111's stable-diffusion-webui.
    case a1111
    /// ComfyUI.
    case comfy
    /// compel 2.5, the library that diffusers recommends.
    case compel

    /// Deeper brackets are refused: the time to weight a text grows with its depth.
    public static let deepestNesting = 200
}

/// What becomes of the weights that a prompt gives to its words, by the wire's name. The names are
/// those of A1111's setting.
public enum Emphasis: String, Sendable, CaseIterable {
    /// The dialect's own way.
    case original
    /// A1111's way without restoring the mean. The other dialects restore none: their own way.
    case noNorm = "no_norm"
    /// The syntax is read, and every weight is 1.
    case ignore
    /// The syntax is not read: its brackets are text. In compel's dialect that is all of its syntax.
    case none
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
    /// The number of the sampler's steps is out of range.
    case steps(Int)
    /// A textual inversion has more vectors than a chunk has room for, or none.
    case embedding(name: String, vectors: Int, limit: Int)
    /// More of something than one prompt may ask for.
    case tooMany(what: String, limit: Int, actual: Int)
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
        case .steps(let steps):
            "steps: expected 1...\(A1111Schedule.mostSteps), found \(steps)"
        case .embedding(let name, let vectors, let limit):
            "the embedding \(name) has \(vectors) vectors, a chunk has room for 1...\(limit)"
        case .tooMany(let what, let limit, let actual):
            "\(what): the limit is \(limit), the prompt asks for \(actual)"
        }
    }
}
