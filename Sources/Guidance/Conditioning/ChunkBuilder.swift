/// Fills chunks with content tokens, by the rules of a dialect.
struct ChunkBuilder {
    /// A1111's `comma_padding_backtrack`, in tokens.
    static let commaBacktrack = 20
    /// ComfyUI's `max_word_length`: pieces of fewer tokens are not cut.
    static let longPiece = 8

    let syntax: PromptSyntax
    /// Content tokens of a full chunk.
    let capacity: Int
    /// The token of a comma that ends a word.
    let comma: Int32?
    /// Content tokens appended so far.
    private(set) var contentCount = 0

    private var chunks: [[WeightedToken]] = []
    private var current: [WeightedToken] = []
    /// Where the current chunk's last comma is.
    private var lastComma: Int?

    init(syntax: PromptSyntax, capacity: Int, comma: Int32?) {
        self.syntax = syntax
        self.capacity = capacity
        self.comma = comma
    }

    mutating func append(_ tokens: [Int32], weight: Float) {
        contentCount += tokens.count
        switch syntax {
        case .plain:
            break
        case .a1111:
            for token in tokens { appendBacktracking(WeightedToken(token: token, weight: weight)) }
            return
        case .comfy:
            if tokens.count < Self.longPiece, tokens.count <= capacity,
                current.count + tokens.count > capacity
            {
                closeChunk()
            }
        }
        for token in tokens {
            if current.count == capacity { closeChunk() }
            current.append(WeightedToken(token: token, weight: weight))
        }
    }

    private mutating func appendBacktracking(_ token: WeightedToken) {
        if token.token == comma {
            lastComma = current.count
        } else if current.count == capacity, let lastComma,
            capacity - lastComma <= Self.commaBacktrack
        {
            let moved = current[(lastComma + 1)...]
            current.removeSubrange((lastComma + 1)...)
            closeChunk()
            current = Array(moved)
        }
        if current.count == capacity { closeChunk() }
        current.append(token)
    }

    /// Ends the current chunk, also an empty one.
    mutating func closeChunk() {
        chunks.append(current)
        current = []
        lastComma = nil
    }

    /// All chunks; an empty one when there is no content.
    mutating func finish() -> [[WeightedToken]] {
        if !current.isEmpty || chunks.isEmpty { closeChunk() }
        return chunks
    }
}
