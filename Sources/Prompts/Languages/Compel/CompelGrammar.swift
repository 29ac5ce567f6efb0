import Glibc

/// The grammar of compel's prompts: ordered choices without a way back, as the original's parser
/// takes them, and like there white space before most things is skipped.
struct CompelGrammar {
    /// A whole prompt.
    struct Root {
        enum Kind {
            /// Texts one behind the other, with their weights.
            case conjunction([Double])
            /// Texts added up.
            case blend([Double], normalized: Bool, offset: Int)
        }

        var kind: Kind
        var prompts: [[CompelNode]]
        /// What stands behind the end of a conjunction: the original ignores it.
        var ignored: SourceText?
    }

    typealias Match = (nodes: [CompelNode], end: Int)

    let source: SourceText
    let scalars: [Unicode.Scalar]
    var depth = 0
    /// What was found where brackets or quotes open, so that what is within is read once.
    private var matches: [Match?] = []
    /// By rule and place, one more than the number of its entry in `matches`; 0 for none.
    private var entries = [[Int32]](repeating: [], count: Rule.allCases.count)

    private enum Rule: Int, CaseIterable { case attention, swap, round, quoted, quotedPrompt }

    init(_ source: SourceText) {
        self.source = source
        scalars = source.scalars
    }

    // MARK: Whole prompts

    /// - Throws: `PromptError.syntax` where compel fails.
    mutating func parse() throws(PromptError) -> Root {
        if let (root, end) = try conjunction(at: 0) {
            var root = root
            if scalars[end...].contains(where: { !$0.isPythonSpace }) {
                root.ignored = source[end..<scalars.count]
            }
            return root
        }
        var index = 0
        var before: [CompelNode] = []
        while let (node, end) = lora(at: index) {
            before.append(node)
            index = end
        }
        index = skipSpace(index)
        var root: Root
        if let (found, end) = try blend(at: index) {
            root = found
            index = end
        } else {
            let (nodes, end) = try prompt(at: index)
            root = Root(kind: .conjunction([1]), prompts: [nodes])
            index = end
        }
        root.prompts[0].insert(contentsOf: before, at: 0)
        while let (node, end) = lora(at: index) {
            root.prompts[0].append(node)
            index = end
        }
        index = skipSpace(index)
        guard index == scalars.count else {
            throw .syntax(
                offset: source.offset(of: index), message: "the prompt cannot go on like this")
        }
        return root
    }

    /// `("a", "b").and(1, 0.5)`
    private mutating func conjunction(
        at start: Int
    ) throws(PromptError) -> (Root, end: Int)? {
        guard let (prompts, afterTargets) = try targets(at: start),
            let operatorEnd = literal(".and", at: afterTargets)
                ?? literal(".add", at: afterTargets),
            let open = mark("(", at: operatorEnd)
        else { return nil }
        let (options, afterOptions) = options(at: open)
        guard let end = mark(")", at: afterOptions) else { return nil }
        let weights = try weights(options[...], count: prompts.count, at: operatorEnd)
        return (Root(kind: .conjunction(weights), prompts: prompts), end)
    }

    /// `("a", "b").blend(1, 0.5, no_normalize)`
    private mutating func blend(at start: Int) throws(PromptError) -> (Root, end: Int)? {
        guard let (prompts, afterTargets) = try targets(at: start),
            let operatorEnd = literal(".blend", at: afterTargets),
            let open = mark("(", at: operatorEnd)
        else { return nil }
        var (options, afterOptions) = options(at: open)
        guard let end = mark(")", at: afterOptions) else { return nil }
        let normalized = options.last?.text != "no_normalize"
        if !normalized { options.removeLast() }
        let weights = try weights(options[...], count: prompts.count, at: operatorEnd)
        let kind = Root.Kind.blend(
            weights, normalized: normalized, offset: source.offset(of: operatorEnd - 1))
        return (Root(kind: kind, prompts: prompts), end)
    }

    private func weights(
        _ options: ArraySlice<ArraySlice<Unicode.Scalar>>, count: Int, at index: Int
    ) throws(PromptError) -> [Double] {
        guard !options.isEmpty else { return [Double](repeating: 1, count: count) }
        var weights: [Double] = []
        for option in options {
            guard let weight = PythonNumber.parse(option), Float(weight).isFinite else {
                throw .syntax(
                    offset: source.offset(of: option.startIndex),
                    message: "expected a weight, found \(option.text)")
            }
            weights.append(weight)
        }
        guard weights.count == count else {
            throw .syntax(
                offset: source.offset(of: index),
                message: "expected \(count) weights, found \(weights.count)")
        }
        return weights
    }

    /// `(a, "b c", (d e))`: what an operator on several texts works on.
    private mutating func targets(
        at start: Int
    ) throws(PromptError) -> (prompts: [[CompelNode]], end: Int)? {
        guard var index = mark("(", at: start), let first = try blendTarget(at: index) else {
            return nil
        }
        var prompts = [first.nodes]
        index = first.end
        while let comma = mark(",", at: index), let next = try blendTarget(at: comma) {
            prompts.append(next.nodes)
            index = next.end
        }
        return mark(")", at: index).map { (prompts, $0) }
    }

    private mutating func blendTarget(at index: Int) throws(PromptError) -> Match? {
        if let match = try target(at: index) { return match }
        return try quoted(at: index, asPrompt: true)
    }

    /// A text in which everything is allowed.
    private mutating func prompt(at start: Int) throws(PromptError) -> Match {
        var nodes: [CompelNode] = []
        var index = start
        while true {
            if let match = try swap(at: index) {
                nodes += match.nodes
                index = match.end
            } else if let (node, end) = lora(at: index) {
                nodes.append(node)
                index = end
            } else if let match = try attention(at: index) {
                nodes += match.nodes
                index = match.end
            } else if let match = try enclosed(at: index) {
                nodes += match.nodes
                index = match.end
            } else if let end = freeWordEnd(at: index) {
                nodes.append(fragment(index..<end))
                index = end
            } else {
                // White space. What Python but not the grammar takes for it goes along only before.
                var end = index
                while end < scalars.count, Self.isRareSpace(scalars[end]) { end += 1 }
                let after = skipSpace(end)
                guard after > end else { return (nodes, index) }
                index = after
            }
        }
    }

    // MARK: What is known

    /// nil when it has not been read.
    private func known(_ rule: Rule, at index: Int) -> Match?? {
        let entries = entries[rule.rawValue]
        guard !entries.isEmpty, entries[index] > 0 else { return nil }
        return .some(matches[Int(entries[index]) - 1])
    }

    private mutating func keep(_ match: Match?, _ rule: Rule, at index: Int) {
        if entries[rule.rawValue].isEmpty {
            entries[rule.rawValue] = [Int32](repeating: 0, count: scalars.count + 1)
        }
        matches.append(match)
        entries[rule.rawValue][index] = Int32(matches.count)
    }

    // MARK: Parts of a text

    /// Text within brackets or quotes: parts, with commas and points if `punctuation` says so.
    private mutating func parts(
        at start: Int, punctuation: Bool
    ) throws(PromptError) -> Match {
        var nodes: [CompelNode] = []
        var index = start
        while true {
            if let (node, end) = lora(at: index) {
                nodes.append(node)
                index = end
            } else if let match = try attention(at: index) {
                nodes += match.nodes
                index = match.end
            } else if let match = try swap(at: index) {
                nodes += match.nodes
                index = match.end
            } else if let match = try target(at: index) {
                nodes += match.nodes
                index = match.end
            } else if punctuation, let end = mark(",", at: index) ?? mark(".", at: index) {
                nodes.append(fragment(end - 1..<end))
                index = end
            } else {
                return (nodes, index)
            }
        }
    }

    /// What stands within brackets, behind the opening one.
    private mutating func nestedParts(
        at open: Int, punctuation: Bool
    ) throws(PromptError) -> Match {
        guard depth < PromptSyntax.deepestNesting else {
            throw .syntax(
                offset: source.offset(of: open - 1),
                message: "more than \(PromptSyntax.deepestNesting) open brackets")
        }
        depth += 1
        defer { depth -= 1 }
        return try parts(at: open, punctuation: punctuation)
    }

    /// What an operator may follow.
    private mutating func target(at index: Int) throws(PromptError) -> Match? {
        if let match = try enclosed(at: index) { return match }
        return word(at: index)
    }

    /// Text within quotes or brackets.
    private mutating func enclosed(at index: Int) throws(PromptError) -> Match? {
        if let match = try quoted(at: index) { return match }
        return try round(at: index)
    }

    private mutating func attention(at start: Int) throws(PromptError) -> Match? {
        guard opensText(at: start) else { return wordAttention(at: start) }
        if let match = known(.attention, at: start) { return match }
        let match = try readAttention(at: start)
        keep(match, .attention, at: start)
        return match
    }

    /// Whether brackets or quotes may begin: what begins otherwise has no text within, and need not be
    /// kept.
    private func opensText(at start: Int) -> Bool {
        let index = skipSpace(start)
        return index < scalars.count && (scalars[index] == "(" || scalars[index] == "\"")
    }

    /// A single word with its operator.
    private func wordAttention(at start: Int) -> Match? {
        guard let word = wordRange(at: start) else { return nil }
        if let open = literal(".attend", at: word.upperBound).flatMap({ mark("(", at: $0) }),
            let (weight, after) = weightOperator(at: skipSpace(open)),
            let end = mark(")", at: after)
        {
            return ([.attention(weight: weight, children: [fragment(word)])], end)
        }
        if word.upperBound < scalars.count,
            scalars[word.upperBound] == "+" || scalars[word.upperBound] == "-",
            let (weight, end) = weightOperator(at: word.upperBound)
        {
            return ([.attention(weight: weight, children: [fragment(word)])], end)
        }
        return nil
    }

    private mutating func readAttention(at start: Int) throws(PromptError) -> Match? {
        if let operand = try enclosed(at: start),
            let open = literal(".attend", at: operand.end).flatMap({ mark("(", at: $0) }),
            let (weight, after) = weightOperator(at: skipSpace(open)),
            let end = mark(")", at: after)
        {
            return ([.attention(weight: weight, children: operand.nodes)], end)
        }
        // White space between a text and its operator is not allowed.
        if let operand = try enclosed(at: start), skipSpace(operand.end) == operand.end,
            let (weight, end) = weightOperator(at: operand.end)
        {
            return ([.attention(weight: weight, children: operand.nodes)], end)
        }
        return nil
    }

    /// `++`, `--` or a number that does not begin with a minus sign.
    private func weightOperator(at start: Int) -> (weight: Double, end: Int)? {
        guard start < scalars.count else { return nil }
        let sign = scalars[start]
        if sign == "-" || sign == "+" {
            let end = scalars[start...].firstIndex { $0 != sign } ?? scalars.count
            return (pow(sign == "+" ? 1.1 : 0.9, Double(end - start)), end)
        }
        return number(at: start).map { ($0.value, $0.end) }
    }

    private mutating func swap(at start: Int) throws(PromptError) -> Match? {
        if !opensText(at: start) {
            guard let word = wordRange(at: start), literal(".swap", at: word.upperBound) != nil
            else { return nil }
        }
        if let match = known(.swap, at: start) { return match }
        var match: Match?
        if let operand = try target(at: start),
            let operatorEnd = literal(".swap", at: operand.end),
            let open = mark("(", at: operatorEnd)
        {
            var index = try nestedParts(at: open, punctuation: false).end
            if let comma = mark(",", at: index) { index = options(at: comma).end }
            match = mark(")", at: index).map {
                ([.swap(offset: source.offset(of: operatorEnd - 5))], $0)
            }
        }
        keep(match, .swap, at: start)
        return match
    }

    /// `(…)`
    private mutating func round(at start: Int) throws(PromptError) -> Match? {
        guard let open = mark("(", at: start) else { return nil }
        if let match = known(.round, at: open) { return match }
        let (nodes, index) = try nestedParts(at: open, punctuation: true)
        let match = mark(")", at: index).map { (nodes, $0) }
        keep(match, .round, at: open)
        return match
    }

    /// `"…"`: a text of parts, or one in which everything is allowed.
    private mutating func quoted(
        at start: Int, asPrompt: Bool = false
    ) throws(PromptError) -> Match? {
        guard let open = mark("\"", at: start) else { return nil }
        let rule = asPrompt ? Rule.quotedPrompt : .quoted
        if let match = known(rule, at: open) { return match }
        var match: Match?
        if let (content, end) = CompelQuotes.content(of: source, from: open) {
            if content.scalars.allSatisfy(\.isPythonSpace) {
                match = ([.fragment([], offset: source.offset(of: open))], end)
            } else {
                var inner = CompelGrammar(content)
                let (nodes, index) =
                    asPrompt
                    ? try inner.prompt(at: 0) : try inner.parts(at: 0, punctuation: true)
                if inner.skipSpace(index) == content.count { match = (nodes, end) }
            }
        }
        keep(match, rule, at: open)
        return match
    }
}
