/// Fills chunks with content, by the rules of a dialect.
struct ChunkBuilder {
    /// A1111's `comma_padding_backtrack`, in tokens.
    static let commaBacktrack = 20
    /// ComfyUI's `max_word_length`: pieces of fewer tokens are not cut.
    static let longPiece = 8

    let syntax: PromptSyntax
    /// Content entries of a full chunk; no unit has more.
    let capacity: Int
    /// The token of a comma that ends a word.
    let comma: Int32?

    private var chunks: [[WeightedEntry]] = []
    private var current: [WeightedEntry] = []
    /// Where the current chunk's last comma is.
    private var lastComma: Int?

    init(syntax: PromptSyntax, capacity: Int, comma: Int32?) {
        self.syntax = syntax
        self.capacity = capacity
        self.comma = comma
    }

    /// Appends what was tokenized in one go.
    mutating func append(_ units: some Collection<ContentUnit>, weight: Float) {
        if syntax == .comfy {
            let count = units.reduce(0) { $0 + $1.count }
            if count < Self.longPiece, count <= capacity, current.count + count > capacity {
                closeChunk()
            }
        }
        for unit in units {
            if syntax == .a1111 { backtrack(for: unit) }
            if current.count + unit.count > capacity { closeChunk() }
            unit.append(to: &current, weight: weight)
        }
    }

    /// A1111's care for commas, before a unit is appended.
    private mutating func backtrack(for unit: ContentUnit) {
        if case .token(let token) = unit, token == comma {
            lastComma = current.count
        } else if current.count == capacity, let lastComma,
            capacity - lastComma <= Self.commaBacktrack
        {
            let moved = current[(lastComma + 1)...]
            current.removeSubrange((lastComma + 1)...)
            closeChunk()
            current = Array(moved)
        }
    }

    /// Ends the current chunk, also an empty one.
    mutating func closeChunk() {
        chunks.append(current)
        current = []
        lastComma = nil
    }

    /// All chunks; an empty one when there is no content.
    mutating func finish() -> [[WeightedEntry]] {
        if !current.isEmpty || chunks.isEmpty { closeChunk() }
        return chunks
    }
}
