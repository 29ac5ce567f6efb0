/// Texts of which some positions are hidden from attention, as sequences of their rows.
///
/// The hidden positions lie side by side, so whatever a query sees is what is before them, and for
/// queries behind them what follows up to its own position: a prefix and own keys.
extension Sequences {
    /// Adds all queries of a text.
    ///
    /// - Parameters:
    ///   - rows: the text's, of queries and of keys.
    ///   - hidden: positions within the text that no query sees, not even their own; empty for none,
    ///     and never the first, so that every query sees a key.
    func append(text rows: Range<Int>, hiding hidden: Range<Int>) {
        guard !hidden.isEmpty else {
            append(queries: rows, position: 0, own: rows)
            return
        }
        let (before, behind) = Self.parts(of: rows, hiding: hidden)
        append(queries: before, position: 0, own: before)
        for row in before.upperBound..<behind.lowerBound {
            append(queries: row..<row + 1, position: before.count - 1, own: before)
        }
        if !behind.isEmpty {
            append(queries: behind, position: before.count, prefix: before, own: behind)
        }
    }

    /// Adds one query of a text.
    ///
    /// - Parameters:
    ///   - query: its row among the queries.
    ///   - position: within the text.
    func append(query: Int, at position: Int, of rows: Range<Int>, hiding hidden: Range<Int>) {
        let query = query..<query + 1
        guard !hidden.isEmpty, position >= hidden.lowerBound else {
            append(queries: query, position: position, own: rows)
            return
        }
        let (before, behind) = Self.parts(of: rows, hiding: hidden)
        if hidden.contains(position) {
            append(queries: query, position: before.count - 1, own: before)
        } else {
            append(
                queries: query, position: position - hidden.count, prefix: before, own: behind)
        }
    }

    private static func parts(
        of rows: Range<Int>, hiding hidden: Range<Int>
    ) -> (before: Range<Int>, behind: Range<Int>) {
        precondition(
            hidden.lowerBound > 0 && hidden.upperBound <= rows.count,
            "hidden positions of the text, not its first")
        return (
            rows.lowerBound..<rows.lowerBound + hidden.lowerBound,
            rows.lowerBound + hidden.upperBound..<rows.upperBound
        )
    }
}
