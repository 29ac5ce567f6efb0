/// What stands at one position of a text tower's input.
public enum TokenEntry: Sendable, Hashable {
    /// A token of the vocabulary.
    case token(Int32)
    /// A vector of a textual inversion, counted from 0, instead of a token's embedding.
    case embedding(name: String, vector: Int)
}

/// One row of input for a text tower: start, content, end, padding.
public struct TokenRow: Sendable, Hashable {
    /// As many as the tower has positions.
    public let entries: [TokenEntry]
    /// The first end token: where the pooled vector is read. It lies before the end of the content
    /// when the text itself spells the end token.
    public let endIndex: Int
    /// Positions that no position attends to, never the first; mostly none. compel hides fragments of
    /// weights below 1 like this.
    public let hiddenPositions: Range<Int>

    /// The tokens, or nil when a textual inversion is among them.
    public var tokens: [Int32]? {
        var tokens: [Int32] = []
        tokens.reserveCapacity(entries.count)
        for entry in entries {
            guard case .token(let token) = entry else { return nil }
            tokens.append(token)
        }
        return tokens
    }

    /// The same row with other positions hidden.
    func hiding(_ positions: Range<Int>) -> TokenRow {
        TokenRow(entries: entries, endIndex: endIndex, hiddenPositions: positions)
    }
}

/// One chunk of a text: a row and the weights of its positions.
public struct TokenChunk: Sendable, Equatable {
    /// The row, by index in `CompiledPrompt.rows`.
    public let row: Int
    /// The weight of each position; 1 for start, end and padding.
    public let weights: [Float]
    /// Content entries, which lie at 1...contentCount.
    public let contentCount: Int
}

/// A content entry and its weight.
struct WeightedEntry: Sendable, Equatable {
    var entry: TokenEntry
    var weight: Float
}

/// How a row is made of content.
struct RowLayout: Sendable {
    let length: Int
    let start: Int32
    let end: Int32
    let pad: Int32

    /// Content entries of a full chunk.
    var capacity: Int { length - 2 }

    /// - Precondition: there is room for the content.
    func row(_ content: [WeightedEntry]) -> TokenRow {
        let padding = capacity - content.count
        let entries: [TokenEntry] =
            [.token(start)] + content.map(\.entry) + [.token(end)]
            + [TokenEntry](repeating: .token(pad), count: padding)
        return TokenRow(
            entries: entries,
            endIndex: entries.dropFirst().firstIndex(of: .token(end)) ?? content.count + 1,
            hiddenPositions: 0..<0)
    }

    func weights(_ content: [WeightedEntry]) -> [Float] {
        [1] + content.map(\.weight) + [Float](repeating: 1, count: capacity - content.count + 1)
    }
}
