extension CompelGrammar {
    /// A word without syntax, and what may stand in it behind a backslash.
    private static func isSyntax(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "(", ")", "\"", ",", ".", "+", "-", "=": true
        default: false
        }
    }

    /// The white space that the grammar skips.
    private static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar == " " || scalar == "\t" || scalar == "\n" || scalar == "\r"
    }

    /// The white space at which words end.
    private static func isBreak(_ scalar: Unicode.Scalar) -> Bool {
        isSpace(scalar) || scalar == "\u{b}" || scalar == "\u{c}"
    }

    /// White space that may stand before the white space between words.
    static func isRareSpace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "\u{c}", "\u{a0}", "\u{1680}", "\u{180e}", "\u{2000}"..."\u{200b}", "\u{202f}",
            "\u{205f}", "\u{3000}":
            true
        default: false
        }
    }

    func skipSpace(_ start: Int) -> Int {
        var index = start
        while index < scalars.count, Self.isSpace(scalars[index]) { index += 1 }
        return index
    }

    /// Behind a single character.
    func mark(_ mark: Unicode.Scalar, at start: Int) -> Int? {
        let index = skipSpace(start)
        return index < scalars.count && scalars[index] == mark ? index + 1 : nil
    }

    /// Behind a word of the grammar.
    func literal(_ word: String, at start: Int) -> Int? {
        // Asked for at nearly every place of a prompt: nothing is allocated.
        var index = skipSpace(start)
        for scalar in word.unicodeScalars {
            guard index < scalars.count, scalars[index] == scalar else { return nil }
            index += 1
        }
        return index
    }

    func fragment(_ range: Range<Int>) -> CompelNode {
        .fragment(
            CompelNode.unescaped(Array(scalars[range])),
            offset: source.offset(of: range.lowerBound))
    }

    /// A word without syntax: a sign is part of it unless syntax, white space or the end follows.
    func word(at start: Int) -> Match? {
        wordRange(at: start).map { ([fragment($0)], $0.upperBound) }
    }

    /// Where `word(at:)` is.
    func wordRange(at start: Int) -> Range<Int>? {
        let start = skipSpace(start)
        var index = start
        while index < scalars.count {
            let next = index + 1 < scalars.count ? scalars[index + 1] : nil
            let scalar = scalars[index]
            if scalar == "\\", let next, Self.isSyntax(next) {
                index += 2
            } else if scalar == "+" || scalar == "-" {
                guard let next, !Self.isSyntax(next), !Self.isSpace(next) else { break }
                index += 1
            } else if !Self.isSyntax(scalar), !Self.isBreak(scalar) {
                index += 1
            } else {
                break
            }
        }
        return index > start ? start..<index : nil
    }

    /// The end of anything up to white space.
    func freeWordEnd(at start: Int) -> Int? {
        let end = scalars[start...].firstIndex(where: Self.isBreak) ?? scalars.count
        return end > start ? end : nil
    }

    /// A number with a point and perhaps a sign, or digits and perhaps a minus sign.
    func number(at start: Int) -> (value: Double, end: Int)? {
        let start = skipSpace(start)
        func digitsEnd(_ start: Int) -> Int {
            var index = start
            while index < scalars.count,
                ("0"..."9").contains(scalars[index])
                    || PythonNumber.asciiDigit(scalars[index]) != nil
            {
                index += 1
            }
            return index
        }
        func isSign(_ signs: String) -> Bool {
            start < scalars.count && signs.unicodeScalars.contains(scalars[start])
        }
        let whole = isSign("+-") ? start + 1 : start
        let point = digitsEnd(whole)
        if point < scalars.count, scalars[point] == "." {
            let end = digitsEnd(point + 1)
            if end - whole > 1, let value = PythonNumber.parse(scalars[start..<end]) {
                return (value, end)
            }
        }
        let digits = isSign("-") ? start + 1 : start
        let end =
            scalars[min(digits, scalars.count)...].firstIndex { !("0"..."9").contains($0) }
            ?? scalars.count
        guard end > digits else { return nil }
        return PythonNumber.parse(scalars[start..<end]).map { ($0, end) }
    }

    /// A name of letters, digits, `_` and `-`.
    private func keywordEnd(at start: Int) -> Int? {
        var end = start
        while end < scalars.count {
            switch scalars[end] {
            case "a"..."z", "A"..."Z", "0"..."9", "_", "-": end += 1
            default: return end > start ? end : nil
            }
        }
        return end > start ? end : nil
    }

    /// `0.5, name, name=0.5`: the first word of each option.
    func options(at start: Int) -> (words: [ArraySlice<Unicode.Scalar>], end: Int) {
        var words: [ArraySlice<Unicode.Scalar>] = []
        var end = start
        while let index = words.isEmpty ? start : mark(",", at: end),
            let (word, next) = option(at: skipSpace(index))
        {
            words.append(word)
            end = next
        }
        return (words, end)
    }

    private func option(at start: Int) -> (word: ArraySlice<Unicode.Scalar>, end: Int)? {
        if let end = keywordEnd(at: start), let equals = mark("=", at: end) {
            let value = number(at: equals)?.end ?? keywordEnd(at: skipSpace(equals))
            if let value { return (scalars[start..<end], value) }
        }
        if let number = number(at: start) { return (scalars[start..<number.end], number.end) }
        return keywordEnd(at: start).map { (scalars[start..<$0], $0) }
    }

    /// `useLora(name, 0.5)`, or `withLora`.
    func lora(at start: Int) -> (node: CompelNode, end: Int)? {
        guard
            let open = (literal("useLora", at: start) ?? literal("withLora", at: start))
                .flatMap({ mark("(", at: $0) })
        else { return nil }
        let nameStart = skipSpace(open)
        guard let nameEnd = keywordEnd(at: nameStart) else { return nil }
        var weight = 1.0
        var index = nameEnd
        if let comma = mark(",", at: nameEnd), let number = number(at: comma) {
            weight = number.value
            index = number.end
        }
        return mark(")", at: index).map {
            let lora = PromptProgram.LoRA(
                name: scalars[nameStart..<nameEnd].text, weight: weight, unetWeight: weight,
                offset: source.offset(of: skipSpace(start)))
            return (.lora(lora), $0)
        }
    }
}

/// What lies between double quotes in a compel prompt.
enum CompelQuotes {
    /// The text between quotes, as the grammar reads it again, and the place behind the closing quote.
    ///
    /// `\"` does not close, unless nothing else on the line does. `\n`, `\t`, `\f`, `\r` and a few
    /// numbers behind a backslash mean characters.
    static func content(
        of source: SourceText, from start: Int
    ) -> (content: SourceText, end: Int)? {
        let scalars = source.scalars
        var close: Int?
        var index = start
        while index < scalars.count, scalars[index] != "\n", scalars[index] != "\r" {
            if scalars[index] == "\\", index + 1 < scalars.count, scalars[index + 1] == "\"" {
                close = index + 1
                index += 2
            } else if scalars[index] == "\"" {
                close = index
                break
            } else {
                index += 1
            }
        }
        guard let close else { return nil }
        let text = unescaped(source[start..<close])
        var content = SourceText()
        content.end = text.end
        for (index, scalar) in text.scalars.enumerated() {
            if scalar == "\"" {
                // A quote stays a quote behind a backslash, which it may have already.
                if index == 0 || text.scalars[index - 1] != "\\" {
                    content.append("\\", from: text.offsets[index])
                }
            }
            content.append(scalar, from: text.offsets[index])
        }
        return (content, close + 1)
    }

    private static func unescaped(_ text: SourceText) -> SourceText {
        var out = SourceText()
        out.end = text.end
        var index = 0
        while index < text.count {
            let (scalar, length) = escape(text.scalars[index...])
            out.append(scalar, from: text.offsets[index])
            index += length
        }
        return out
    }

    /// The scalar at the beginning of a text, and how many spell it.
    private static func escape(
        _ text: ArraySlice<Unicode.Scalar>
    ) -> (scalar: Unicode.Scalar, length: Int) {
        let first = text[text.startIndex]
        let rest = Array(text.dropFirst().prefix(3))
        guard first == "\\", let kind = rest.first else { return (first, 1) }
        func hex(_ last: Unicode.Scalar) -> Unicode.Scalar? {
            guard rest.count == 3, rest[2] == last,
                let value = UInt32(rest[1...].text, radix: 16)
            else { return nil }
            return Unicode.Scalar(value)
        }
        switch kind {
        case "t": return ("\t", 2)
        case "n": return ("\n", 2)
        case "f": return ("\u{c}", 2)
        case "r": return ("\r", 2)
        // The original takes these two digits for an octal number of three, and leaves them.
        case "0"..."7" where rest.count > 1 && rest[1] == "3": return (kind, 2)
        case "0": return ("\0", 2)
        case "x": return hex("2").map { ($0, 4) } ?? (first, 1)
        case "u": return hex("4").map { ($0, 4) } ?? (first, 1)
        default: return (first, 1)
        }
    }
}
