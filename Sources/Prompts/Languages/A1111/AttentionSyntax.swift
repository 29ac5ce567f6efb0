/// AUTOMATIC1111's attention syntax (`modules/prompt_parser.py`).
///
/// `(x)` multiplies by 1.1, `[x]` divides by 1.1, `(x:1.3)` multiplies by 1.3; nested weights
/// multiply. `\` keeps a bracket or a backslash from meaning anything and vanishes itself, also before
/// other characters. Open brackets reach the end; closing ones without a partner are text. `BREAK`
/// as a word of its own ends a chunk, except within brackets that change a weight, where the
/// original takes it for a word of negative weight, and so do we.
enum AttentionSyntax {
    static func parse(_ source: SourceText) throws(PromptError) -> [PromptPiece] {
        var parser = Parser(source: source)
        return try parser.parse()
    }

    private struct Item {
        var text: Range<Int>
        var weight: Double
    }

    private struct Parser {
        let source: SourceText
        let scalars: [Unicode.Scalar]
        var items: [Item] = []
        /// Numbers of items before each open bracket.
        var round: [Int] = []
        var square: [Int] = []

        init(source: SourceText) {
            self.source = source
            scalars = source.scalars
        }

        mutating func parse() throws(PromptError) -> [PromptPiece] {
            var index = 0
            while index < scalars.count {
                let start = index
                index += 1
                switch scalars[start] {
                case "\\":
                    if index < scalars.count, Self.isSpecial(scalars[index]),
                        scalars[index] != ":"
                    {
                        index += 1
                    }
                    items.append(Item(text: start + 1..<index, weight: 1))
                case "(":
                    try checkDepth(at: start)
                    round.append(items.count)
                case "[":
                    try checkDepth(at: start)
                    square.append(items.count)
                case ")":
                    close(round.popLast(), by: 1.1, orText: start..<index)
                case "]":
                    close(square.popLast(), by: 1 / 1.1, orText: start..<index)
                case ":":
                    guard let number = number(after: start) else {
                        items.append(Item(text: start..<index, weight: 1))
                        break
                    }
                    index = number.end
                    if round.isEmpty {
                        items.append(Item(text: start..<index, weight: 1))
                    } else if let value = PythonNumber.parse(scalars[number.digits]) {
                        close(round.popLast(), by: value, orText: start..<index)
                    } else {
                        throw .syntax(
                            offset: source.offset(of: number.digits.lowerBound),
                            message: "\(scalars[number.digits].text) is no number")
                    }
                default:
                    while index < scalars.count, !Self.isSpecial(scalars[index]) { index += 1 }
                    appendWords(start..<index)
                }
            }
            for position in round { multiply(from: position, by: 1.1) }
            for position in square { multiply(from: position, by: 1 / 1.1) }
            return try pieces()
        }

        private static func isSpecial(_ scalar: Unicode.Scalar) -> Bool {
            switch scalar {
            case "\\", "(", ")", "[", "]", ":": true
            default: false
            }
        }

        private func checkDepth(at offset: Int) throws(PromptError) {
            guard round.count + square.count < PromptSyntax.deepestNesting else {
                throw .syntax(
                    offset: source.offset(of: offset),
                    message: "more than \(PromptSyntax.deepestNesting) open brackets")
            }
        }

        /// The number in `: 1.3 )` after a colon, and where the bracket ends.
        private func number(after colon: Int) -> (digits: Range<Int>, end: Int)? {
            var index = colon + 1
            func skip(while condition: (Unicode.Scalar) -> Bool) {
                while index < scalars.count, condition(scalars[index]) { index += 1 }
            }
            skip(while: \.isPythonSpace)
            let start = index
            if index < scalars.count, scalars[index] == "+" || scalars[index] == "-" { index += 1 }
            let digits = index
            skip { $0 == "." || ("0"..."9").contains($0) || PythonNumber.asciiDigit($0) != nil }
            guard index > digits else { return nil }
            let end = index
            skip(while: \.isPythonSpace)
            guard index < scalars.count, scalars[index] == ")" else { return nil }
            return (start..<end, index + 1)
        }

        /// Weights what follows the opening bracket; a bracket without a partner is text.
        private mutating func close(_ position: Int?, by factor: Double, orText: Range<Int>) {
            if let position {
                multiply(from: position, by: factor)
            } else {
                items.append(Item(text: orText, weight: 1))
            }
        }

        private mutating func multiply(from position: Int, by factor: Double) {
            for index in position..<items.count { items[index].weight *= factor }
        }

        private static let breakMark = Array("BREAK".unicodeScalars)

        /// Text up to the next special character, split at each `BREAK`. White space around one goes
        /// with it.
        private mutating func appendWords(_ range: Range<Int>) {
            var start = range.lowerBound
            var index = start
            let mark = Self.breakMark
            while index + mark.count <= range.upperBound {
                let end = index + mark.count
                guard source.hasWord(mark, at: index),
                    index == range.lowerBound || !scalars[index - 1].isPythonWord,
                    end == range.upperBound || !scalars[end].isPythonWord
                else {
                    index += 1
                    continue
                }
                var textEnd = index
                while textEnd > start, scalars[textEnd - 1].isPythonSpace { textEnd -= 1 }
                items.append(Item(text: start..<textEnd, weight: 1))
                items.append(Item(text: index..<end, weight: -1))
                start = end
                while start < range.upperBound, scalars[start].isPythonSpace { start += 1 }
                index = start
            }
            items.append(Item(text: start..<range.upperBound, weight: 1))
        }

        /// Neighbours of equal weight are one piece, tokenized together.
        private func pieces() throws(PromptError) -> [PromptPiece] {
            var pieces: [PromptPiece] = []
            var bytes: [UInt8] = []
            var index = 0
            while index < items.count {
                let first = items[index]
                guard Float(first.weight).isFinite else {
                    throw .syntax(
                        offset: source.offset(of: first.text.lowerBound),
                        message: "the weight \(first.weight) is not finite in single precision")
                }
                bytes.removeAll(keepingCapacity: true)
                while index < items.count, items[index].weight == first.weight {
                    for place in items[index].text { bytes.append(scalars[place]) }
                    index += 1
                }
                let merged = String(decoding: bytes, as: UTF8.self)
                if first.weight == -1, merged == "BREAK" {
                    pieces.append(.chunkBreak)
                } else if !merged.isEmpty {
                    pieces.append(.text(merged, weight: first.weight))
                }
            }
            return pieces
        }
    }
}
