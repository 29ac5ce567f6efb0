public import Encoders

/// What happens to a prompt with more tokens than one chunk holds, by its wire name.
public enum LongPromptPolicy: String, Sendable, CaseIterable {
    /// Refuse it, naming the text that does not fit.
    case error
    /// Keep the first tokens of each section (`BREAK` separates sections), and report the rest.
    case truncate
    /// Go on in further chunks, by the rules of the dialect.
    case chunk
}

/// One row of tokens for a text tower: start, content, end, padding.
public struct TokenChunk: Sendable, Equatable {
    /// As many as the tower has positions.
    public let tokens: [Int32]
    /// The weight of each token; 1 for start, end and padding.
    public let weights: [Float]
    /// Content tokens, which lie at 1...contentCount.
    public let contentCount: Int
    /// The first end token: where the pooled vector is read. It lies before `contentCount + 1` when
    /// the text itself spells the end token.
    public let endIndex: Int
}

/// The rows of one prompt, and what was left out of them.
public struct PromptChunks: Sendable, Equatable {
    /// At least one.
    public private(set) var rows: [TokenChunk]
    /// Content tokens that did not fit.
    public let droppedTokens: Int
    /// The pieces of cleaned text that did not fit, in order.
    public let droppedText: [String]

    /// An empty prompt's row, for the same tower.
    private let emptyRow: TokenChunk

    /// The rows of a prompt.
    ///
    /// - `a1111`: a chunk is full at `contextLength − 2` tokens; when its last comma is among the
    ///   last 20 of them, what follows that comma moves to the next chunk. `BREAK` ends a chunk.
    ///   (`modules/sd_hijack_clip.py`, `tokenize_line`.)
    /// - `comfy`: a piece of fewer than 8 tokens that does not fit moves whole to the next chunk;
    ///   longer ones are cut. (`comfy/sd1_clip.py`, `tokenize_with_weights`; a piece is a stretch of
    ///   text of one weight.)
    /// - `plain`: chunks are filled one after the other.
    ///
    /// - Parameters:
    ///   - contextLength: positions of the text tower, at least 3; 77 for CLIP.
    ///   - padToken: what follows the end token, by the recipe; the tokenizer's when nil.
    /// - Throws: `PromptError`, for wrong syntax, and for a section that is too long when `policy` is
    ///   `.error`.
    public init(
        _ prompt: String, syntax: PromptSyntax, tokenizer: BytePairTokenizer,
        contextLength: Int = 77, padToken: Int32? = nil, policy: LongPromptPolicy = .error
    ) throws(PromptError) {
        guard contextLength >= 3 else { throw .contextLength(contextLength) }
        let layout = RowLayout(
            length: contextLength, start: tokenizer.startToken, end: tokenizer.endToken,
            pad: padToken ?? tokenizer.padToken)
        let pieces = try syntax.parse(prompt)
        var builder = ChunkBuilder(
            syntax: syntax, capacity: contextLength - 2,
            comma: tokenizer.encode(",").first)
        var dropped = DroppedTokens()
        var room = builder.capacity
        for piece in pieces {
            guard case .text(let text, let weight) = piece else {
                builder.closeChunk()
                room = builder.capacity
                continue
            }
            let tokens = tokenizer.encode(text)
            let kept = policy == .chunk ? tokens.count : min(tokens.count, room)
            room -= policy == .chunk ? 0 : kept
            builder.append(Array(tokens.prefix(kept)), weight: Float(weight))
            if kept < tokens.count {
                dropped.append(text, tokens: tokens.count, kept: kept, tokenizer)
            }
        }
        if policy == .error, dropped.count > 0 {
            throw .tooLong(
                tokens: builder.contentCount + dropped.count + 2, limit: contextLength,
                excess: dropped.texts.joined(separator: " "))
        }
        rows = builder.finish().map(layout.row)
        emptyRow = layout.row([])
        droppedTokens = dropped.count
        droppedText = dropped.texts
    }

    /// Appends rows of an empty prompt until there are `count`: how prompts of unequal length, such as
    /// a prompt and its negative, come to the same number of tokens.
    public mutating func pad(to count: Int) {
        while rows.count < count { rows.append(emptyRow) }
    }
}

/// Text that was left out.
private struct DroppedTokens {
    var count = 0
    var texts: [String] = []

    mutating func append(
        _ text: String, tokens: Int, kept: Int, _ tokenizer: BytePairTokenizer
    ) {
        count += tokens - kept
        // The tokenizer knows where in the cleaned text its tokens begin. A context of at least two
        // positions is all that it asks for.
        let cut = try? tokenizer.tokenize(text, contextLength: kept + 2, overflow: .truncate)
        texts.append(cut?.droppedText ?? text)
    }
}

/// A content token and its weight.
struct WeightedToken: Sendable, Equatable {
    var token: Int32
    var weight: Float
}

/// How a row is made of content.
private struct RowLayout {
    let length: Int
    let start: Int32
    let end: Int32
    let pad: Int32

    func row(_ content: [WeightedToken]) -> TokenChunk {
        let padding = length - 2 - content.count
        let tokens: [Int32] =
            [start] + content.map(\.token) + [end] + [Int32](repeating: pad, count: padding)
        let weights: [Float] =
            [1] + content.map(\.weight) + [Float](repeating: 1, count: padding + 1)
        return TokenChunk(
            tokens: tokens, weights: weights, contentCount: content.count,
            endIndex: tokens.dropFirst().firstIndex(of: end) ?? content.count + 1)
    }
}
