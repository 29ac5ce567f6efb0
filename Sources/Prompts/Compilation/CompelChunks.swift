/// compel's way to cut long prompts (`compel/embeddings_provider.py`, `SplitLongTextMode.SENTENCES`):
/// behind the last point that fits, else behind the last comma, semicolon or colon, else behind the
/// last word, else anywhere, though not within a textual inversion.
struct CompelChunks {
    private let capacity: Int
    private let tokenizer: any PromptTokenizer
    private let points: Set<Int32>
    private let pauses: Set<Int32>

    init(capacity: Int, tokenizer: any PromptTokenizer) {
        self.capacity = capacity
        self.tokenizer = tokenizer
        func words(_ marks: [String]) -> Set<Int32> {
            Set(
                marks.compactMap { mark in
                    let tokens = tokenizer.encode(mark)
                    return tokens.count == 1 ? tokens.first : nil
                })
        }
        points = words(["."])
        pauses = words([".", ",", ";", ":"])
    }

    /// The number of units in each chunk; at least one chunk.
    func sizes(of units: [ContentUnit]) -> [Int] {
        var sizes: [Int] = []
        var start = 0
        // Entries from the end on, so that it is known when the rest fits.
        var left = units.reduce(0) { $0 + $1.count }
        repeat {
            var end = start
            var count = 0
            while end < units.count, count + units[end].count <= capacity {
                count += units[end].count
                end += 1
            }
            if left > capacity { end = split(units, start..<end) }
            left -= units[start..<end].reduce(0) { $0 + $1.count }
            sizes.append(end - start)
            start = end
        } while start < units.count
        return sizes
    }

    private func split(_ units: [ContentUnit], _ range: Range<Int>) -> Int {
        func last(where condition: (Int32) -> Bool) -> Int? {
            units[range].lastIndex {
                if case .token(let token) = $0 { condition(token) } else { false }
            }
        }
        let index =
            last(where: points.contains) ?? last(where: pauses.contains)
            ?? last(where: tokenizer.endsWord)
        return index.map { $0 + 1 } ?? range.upperBound
    }
}
