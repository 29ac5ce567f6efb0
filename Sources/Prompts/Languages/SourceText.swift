/// Part of a prompt, each scalar with the place that it comes from.
///
/// Scheduling, splitting and unquoting cut prompts up and put them together anew; errors still
/// have to point at the character of the prompt as it was sent.
struct SourceText: Sendable, Equatable {
    var scalars: [Unicode.Scalar] = []
    /// Where each scalar is in the prompt.
    var offsets: [Int] = []
    /// Where the text ends in the prompt: the place of an error at its end.
    var end = 0

    init() {}

    init(_ prompt: String) {
        scalars.reserveCapacity(prompt.utf8.count)
        scalars.append(contentsOf: prompt.unicodeScalars)
        offsets = Array(scalars.indices)
        end = scalars.count
    }

    var count: Int { scalars.count }

    /// The place in the prompt of a scalar of this text, or of its end.
    func offset(of index: Int) -> Int { index < offsets.count ? offsets[index] : end }

    subscript(range: Range<Int>) -> SourceText {
        var part = SourceText()
        part.scalars = Array(scalars[range])
        part.offsets = Array(offsets[range])
        part.end = offset(of: range.upperBound)
        return part
    }

    mutating func append(_ scalar: Unicode.Scalar, from offset: Int) {
        scalars.append(scalar)
        offsets.append(offset)
    }

    mutating func append(_ range: Range<Int>, of other: SourceText) {
        scalars += other.scalars[range]
        offsets += other.offsets[range]
    }

    /// Whether the text goes on with `word` at `index`.
    func hasWord(_ word: [Unicode.Scalar], at index: Int) -> Bool {
        guard index + word.count <= count else { return false }
        for (offset, scalar) in word.enumerated() where scalars[index + offset] != scalar {
            return false
        }
        return true
    }

    /// The indices at which `word` stands as a word of its own: Python's `\b` is on both sides.
    func wordIndices(of word: String) -> [Int] {
        let word = Array(word.unicodeScalars)
        var found: [Int] = []
        var index = 0
        while index + word.count <= count {
            let end = index + word.count
            if hasWord(word, at: index), index == 0 || !scalars[index - 1].isPythonWord,
                end == count || !scalars[end].isPythonWord
            {
                found.append(index)
                index = end
            } else {
                index += 1
            }
        }
        return found
    }
}
