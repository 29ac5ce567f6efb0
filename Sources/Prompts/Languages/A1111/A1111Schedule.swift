/// A1111's prompts that change with the steps, and its `AND` (`modules/prompt_parser.py`).
///
/// First `AND` splits the prompt, and `: number` at the end of a part is the part's weight. Then, in
/// each part, `[from:to:when]`, `[to:when]` and `[a|b]` are resolved for each step; what remains
/// is a text with weights. `when` is a share of the steps if it has a decimal point, else a step.
enum A1111Schedule {
    static let mostSteps = 1000
    /// Scalars that the texts of all steps may have together.
    static let mostText = 16 << 20

    struct Result {
        var segments: [PromptProgram.Segment] = []
        var texts: [SourceText] = []
    }

    static func segments(
        of prompt: SourceText, steps: Int?, isNegative: Bool
    ) throws(PromptError) -> Result {
        var parts: [(weight: Double, text: SourceText, items: [Item])] = []
        for text in isNegative ? [prompt] : split(prompt) {
            let (body, weight) = isNegative ? (text, 1) : try weighted(text)
            parts.append((weight, body, try items(of: body, steps: steps)))
        }
        var ends: Set<Int> = []
        for part in parts { collectEnds(part.items, steps: steps ?? 1, into: &ends) }
        ends.insert(steps ?? 1)
        var result = Result()
        var known: [[Unicode.Scalar]: Int] = [:]
        var length = 0
        for end in ends.sorted() {
            var members: [PromptProgram.Part] = []
            for part in parts {
                var text = SourceText()
                text.end = prompt.end
                append(part.items, of: part.text, atStep: end, to: &text)
                length += text.count
                guard length <= mostText else {
                    throw .tooMany(
                        what: "characters in the texts of all steps", limit: mostText,
                        actual: length)
                }
                let number = known[text.scalars] ?? result.texts.count
                if number == result.texts.count {
                    known[text.scalars] = number
                    result.texts.append(text)
                }
                members.append(.init(weight: part.weight, composition: number))
            }
            if let last = result.segments.last, last.parts == members {
                result.segments.removeLast()
            }
            result.segments.append(
                .init(untilStep: steps.map { _ in end }, parts: members))
        }
        return result
    }

    // MARK: AND

    private static func split(_ prompt: SourceText) -> [SourceText] {
        let marks = prompt.wordIndices(of: "AND")
        guard !marks.isEmpty else { return [prompt] }
        var parts: [SourceText] = []
        var start = 0
        for index in marks {
            parts.append(prompt[start..<index])
            start = index + 3
        }
        parts.append(prompt[start..<prompt.count])
        return parts
    }

    /// A part without white space at its end and without its weight.
    private static func weighted(_ text: SourceText) throws(PromptError) -> (SourceText, Double) {
        let scalars = text.scalars
        func skipSpaceBack(_ index: Int) -> Int {
            var index = index
            while index > 0, scalars[index - 1].isPythonSpace { index -= 1 }
            return index
        }
        func isDigit(_ index: Int) -> Bool {
            ("0"..."9").contains(scalars[index]) || PythonNumber.asciiDigit(scalars[index]) != nil
        }
        let end = skipSpaceBack(scalars.count)
        // Back over digits, a point and a sign, as far as they make a number.
        var start = end
        while start > 0, isDigit(start - 1) || scalars[start - 1] == "." { start -= 1 }
        let points = (start..<end).filter { scalars[$0] == "." }.count
        guard points <= 1, end - start > points else { return (text[0..<end], 1) }
        if start > 0, scalars[start - 1] == "+" || scalars[start - 1] == "-" { start -= 1 }
        let colon = skipSpaceBack(start) - 1
        guard colon >= 0, scalars[colon] == ":",
            let weight = PythonNumber.parse(scalars[start..<end])
        else { return (text[0..<end], 1) }
        guard Float(weight).isFinite else {
            throw .syntax(
                offset: text.offset(of: start),
                message: "the weight \(weight) is not finite in single precision")
        }
        return (text[0..<skipSpaceBack(colon)], weight)
    }

    // MARK: Steps

    /// Part of a text: the same at each step, one of two, or one of many in turn.
    enum Item {
        case text(Range<Int>)
        /// `from` up to and including the step `when`, then `to`.
        case change(from: [Item], to: [Item], when: Int)
        case turn([[Item]])
    }

    private static func collectEnds(_ items: [Item], steps: Int, into ends: inout Set<Int>) {
        for item in items {
            switch item {
            case .text: break
            case .change(let from, let to, let when):
                if when >= 1 { ends.insert(when) }
                collectEnds(from, steps: steps, into: &ends)
                collectEnds(to, steps: steps, into: &ends)
            case .turn:
                ends.formUnion(1...steps)
                return
            }
        }
    }

    private static func append(
        _ items: [Item], of source: SourceText, atStep step: Int, to text: inout SourceText
    ) {
        for item in items {
            switch item {
            case .text(let range): text.append(range, of: source)
            case .change(let from, let to, let when):
                append(step <= when ? from : to, of: source, atStep: step, to: &text)
            case .turn(let options):
                append(options[(step - 1) % options.count], of: source, atStep: step, to: &text)
            }
        }
    }
}
