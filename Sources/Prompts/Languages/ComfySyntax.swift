/// ComfyUI's weighting syntax (`comfy/sd1_clip.py`, `token_weights`).
///
/// `(x)` multiplies the weight around it by 1.1; `(x:1.3)` sets the weight to 1.3, whatever is around
/// it. `\(` and `\)` are brackets of the text. A bracket is a group when its partner follows, or when
/// the text ends in some closing bracket; otherwise an opening one is text, and after a closing one
/// alone no group begins until as many have opened.
enum ComfySyntax {
    static func parse(_ prompt: String) throws(PromptError) -> [PromptPiece] {
        var parser = Parser(scalars: Array(prompt.unicodeScalars))
        try parser.append(0..<parser.scalars.count, weight: 1, depth: 0)
        return parser.pieces
    }

    /// The whole text as it is, escaped brackets without their backslashes.
    static func unescaped(_ prompt: String) -> String {
        let parser = Parser(scalars: Array(prompt.unicodeScalars))
        return parser.text(0..<parser.scalars.count)
    }

    private struct Parser {
        let scalars: [Unicode.Scalar]
        /// Whether a scalar is the backslash of an escaped bracket or that bracket.
        var isEscaped: [Bool]
        var pieces: [PromptPiece] = []

        init(scalars: [Unicode.Scalar]) {
            self.scalars = scalars
            isEscaped = [Bool](repeating: false, count: scalars.count)
            for index in scalars.indices.dropLast() where scalars[index] == "\\" {
                guard scalars[index + 1] == "(" || scalars[index + 1] == ")" else { continue }
                isEscaped[index] = true
                isEscaped[index + 1] = true
            }
        }

        mutating func append(
            _ range: Range<Int>, weight: Double, depth: Int
        ) throws(PromptError) {
            for part in parts(of: range) {
                guard part.count >= 2, isBracket("(", at: part.lowerBound),
                    isBracket(")", at: part.upperBound - 1)
                else {
                    appendText(part, weight: weight)
                    continue
                }
                guard depth < PromptSyntax.deepestNesting else {
                    throw .syntax(
                        offset: part.lowerBound,
                        message: "more than \(PromptSyntax.deepestNesting) brackets are nested")
                }
                var inner = part.lowerBound + 1..<part.upperBound - 1
                var innerWeight = weight * 1.1
                if let colon = inner.last(where: { scalars[$0] == ":" }), colon > inner.lowerBound,
                    let number = PythonNumber.parse(scalars[colon + 1..<inner.upperBound])
                {
                    innerWeight = number
                    inner = inner.lowerBound..<colon
                }
                guard Float(innerWeight).isFinite else {
                    throw .syntax(
                        offset: part.lowerBound,
                        message: "the weight \(innerWeight) is not finite in single precision")
                }
                try append(inner, weight: innerWeight, depth: depth + 1)
            }
        }

        private func isBracket(_ bracket: Unicode.Scalar, at index: Int) -> Bool {
            scalars[index] == bracket && !isEscaped[index]
        }

        /// Outermost groups with their brackets, and the texts between them.
        private func parts(of range: Range<Int>) -> [Range<Int>] {
            var parts: [Range<Int>] = []
            var start = range.lowerBound
            var level = 0
            for index in range {
                if isBracket("(", at: index) {
                    if level == 0, index > start {
                        parts.append(start..<index)
                        start = index
                    }
                    level += 1
                } else if isBracket(")", at: index) {
                    level -= 1
                    if level == 0 {
                        parts.append(start..<index + 1)
                        start = index + 1
                    }
                }
            }
            if start < range.upperBound { parts.append(start..<range.upperBound) }
            return parts
        }

        private mutating func appendText(_ range: Range<Int>, weight: Double) {
            pieces.append(.text(text(range), weight: weight))
        }

        func text(_ range: Range<Int>) -> String {
            var bytes: [UInt8] = []
            bytes.reserveCapacity(range.count)
            for index in range where !(isEscaped[index] && scalars[index] == "\\") {
                bytes.append(scalars[index])
            }
            return String(decoding: bytes, as: UTF8.self)
        }
    }
}
