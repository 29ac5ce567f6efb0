extension A1111Schedule {
    /// A bracket that is open, and what has been read behind it.
    private struct Frame {
        let open: Int
        /// What lies between separators.
        var sections: [[Item]] = [[]]
        /// Where the colons and bars directly inside are.
        var separators: [Int] = []
    }

    /// The items of a text.
    ///
    /// A pair of brackets means something when all brackets within are in order: `(…)` with at most
    /// one colon, `[…]` without separators, with bars alone, or with one or two colons, the last
    /// before a number. All other brackets and colons are text, but a bar that is not between square
    /// brackets, or a backslash before the end of a line, makes the whole text mean itself.
    ///
    /// - Throws: `PromptError.syntax` for a schedule without a number of steps, for `when` that is not
    ///   finite, and for brackets nested deeper than `PromptSyntax.deepestNesting`.
    static func items(of text: SourceText, steps: Int?) throws(PromptError) -> [Item] {
        var reader = Reader(text: text, steps: steps)
        return try reader.read() ?? [.text(0..<text.count)]
    }

    private struct Reader {
        let text: SourceText
        let steps: Int?
        var top: [Item] = []
        var frames: [Frame] = []
        /// The first schedule, which needs the number of steps.
        var firstSchedule: Int?

        init(text: SourceText, steps: Int?) {
            self.text = text
            self.steps = steps
        }

        /// nil when the text means itself.
        mutating func read() throws(PromptError) -> [Item]? {
            let scalars = text.scalars
            var index = 0
            while index < scalars.count {
                let start = index
                index += 1
                switch scalars[start] {
                case "\\":
                    guard index < scalars.count, scalars[index] != "\n" else { return nil }
                    index += 1
                    append(text: start..<index)
                case "(", "[":
                    guard frames.count < PromptSyntax.deepestNesting else {
                        throw .syntax(
                            offset: text.offset(of: start),
                            message: "more than \(PromptSyntax.deepestNesting) open brackets")
                    }
                    frames.append(Frame(open: start))
                case ":", "|":
                    if frames.isEmpty {
                        guard scalars[start] == ":" else { return nil }
                        append(text: start..<index)
                    } else {
                        frames[frames.count - 1].separators.append(start)
                        frames[frames.count - 1].sections.append([])
                    }
                case ")", "]":
                    if let node = try closed(at: start) {
                        frames.removeLast()
                        append(node)
                    } else {
                        guard unwind() else { return nil }
                        append(text: start..<index)
                    }
                default:
                    while index < scalars.count, !Self.isSpecial(scalars[index]) { index += 1 }
                    append(text: start..<index)
                }
            }
            guard unwind() else { return nil }
            if steps == nil, let firstSchedule {
                throw .syntax(
                    offset: text.offset(of: firstSchedule),
                    message: "a prompt that changes with the steps needs their number")
            }
            return top
        }

        private static func isSpecial(_ scalar: Unicode.Scalar) -> Bool {
            switch scalar {
            case "\\", "(", ")", "[", "]", ":", "|": true
            default: false
            }
        }

        private mutating func append(_ items: [Item]) {
            if frames.isEmpty {
                Self.append(items, to: &top)
            } else {
                let frame = frames.count - 1
                let section = frames[frame].sections.count - 1
                Self.append(items, to: &frames[frame].sections[section])
            }
        }

        private mutating func append(text range: Range<Int>) {
            if frames.isEmpty {
                Self.append(range, to: &top)
            } else {
                let frame = frames.count - 1
                let section = frames[frame].sections.count - 1
                Self.append(range, to: &frames[frame].sections[section])
            }
        }

        private static func append(_ new: [Item], to items: inout [Item]) {
            guard let first = new.first else { return }
            if case .text(let range) = first {
                append(range, to: &items)
                items += new.dropFirst()
            } else {
                items += new
            }
        }

        /// Text that follows text in the prompt becomes one with it.
        private static func append(_ range: Range<Int>, to items: inout [Item]) {
            if case .text(let last) = items.last, last.upperBound == range.lowerBound {
                items[items.count - 1] = .text(last.lowerBound..<range.upperBound)
            } else {
                items.append(.text(range))
            }
        }

        /// Makes text of the open brackets and what separates behind them; false when there is a bar.
        private mutating func unwind() -> Bool {
            for frame in frames {
                Self.append(frame.open..<frame.open + 1, to: &top)
                for (number, section) in frame.sections.enumerated() {
                    if number > 0 {
                        let separator = frame.separators[number - 1]
                        guard text.scalars[separator] == ":" else { return false }
                        Self.append(separator..<separator + 1, to: &top)
                    }
                    Self.append(section, to: &top)
                }
            }
            frames = []
            return true
        }

        /// What the innermost open bracket means, given that the one at `end` closes it.
        private mutating func closed(at end: Int) throws(PromptError) -> [Item]? {
            guard let frame = frames.last,
                (text.scalars[frame.open] == "(") == (text.scalars[end] == ")")
            else { return nil }
            let separators = frame.separators.map { text.scalars[$0] }
            let isRound = text.scalars[frame.open] == "("
            if separators.isEmpty || isRound && separators == [":"] {
                var items: [Item] = [.text(frame.open..<frame.open + 1)]
                Self.append(frame.sections[0], to: &items)
                if let separator = frame.separators.first {
                    Self.append(separator..<separator + 1, to: &items)
                    Self.append(frame.sections[1], to: &items)
                }
                Self.append(end..<end + 1, to: &items)
                return items
            }
            guard !isRound else { return nil }
            if separators.allSatisfy({ $0 == "|" }) {
                firstSchedule = firstSchedule ?? frame.open
                return [.turn(frame.sections)]
            }
            guard separators.count <= 2, separators.allSatisfy({ $0 == ":" }),
                let colon = frame.separators.last,
                let when = try when(colon + 1..<end)
            else { return nil }
            firstSchedule = firstSchedule ?? frame.open
            let from = separators.count == 2 ? frame.sections[0] : []
            return [.change(from: from, to: frame.sections[separators.count - 1], when: when)]
        }

        /// The step that a number means, or nil when the text is none.
        private func when(_ range: Range<Int>) throws(PromptError) -> Int? {
            let spelled = text.scalars[range].trimmed
            guard spelled.allSatisfy({ $0.isASCII && $0 != "_" }),
                spelled.last.map({ $0 == "." || ("0"..."9").contains($0) }) ?? false,
                let value = PythonNumber.parse(spelled)
            else { return nil }
            guard value.isFinite else {
                throw .syntax(
                    offset: text.offset(of: range.lowerBound),
                    message: "the step \(spelled.text) is not finite")
            }
            let steps = Double(steps ?? 1)
            let step = spelled.contains(".") ? value * steps : value
            return Int(max(-1, min(steps, step)))
        }
    }
}
