/// compel's prompt language (`compel/prompt_parser.py`, version 2.5).
///
/// `word+`, `(some words)--` and `(some words)1.2` weigh; `("a", "b").blend(0.7, 0.3)` adds hidden
/// states up, `("a", "b").and()` puts them one behind the other, `useLora(name, 0.5)` asks for a
/// LoRA. Texts of one weight are joined by a single space. What reads like no operator is text.
enum CompelSyntax {
    /// Fragments of weights below 1 that one text may have: each costs another pass of the tower.
    static let mostDownWeighted = 256

    struct Result {
        let composition: PromptProgram.Composition
        let loras: [PromptProgram.LoRA]
        let ignoredText: [String]
    }

    static func parse(_ prompt: String) throws(PromptError) -> Result {
        let source = SourceText(prompt)
        guard source.scalars.contains(where: { !$0.isPythonSpace }) else {
            return Result(
                composition: .init(prompt, pieces: []), loras: [], ignoredText: [])
        }
        var grammar = CompelGrammar(spaced(source))
        let root = try grammar.parse()
        var flattening = Flattening()
        var terms: [PromptProgram.Term] = []
        switch root.kind {
        case .conjunction(let weights):
            for (nodes, weight) in zip(root.prompts, weights) {
                guard let pieces = try flattening.pieces(of: nodes) else { continue }
                terms.append(.init(weight: weight, blend: [.init(factor: 1, pieces: pieces)]))
            }
        case .blend(let weights, let normalized, let offset):
            terms = [
                .init(
                    weight: 1,
                    blend: try blend(
                        root.prompts, weights, normalized, at: offset, &flattening))
            ]
        }
        if terms.isEmpty { terms = [.init(weight: 1, blend: [.init(factor: 1, pieces: [])])] }
        return Result(
            composition: .init(prompt, terms: terms, pooledText: prompt),
            loras: flattening.loras,
            ignoredText: root.ignored.map { [$0.scalars[...].text] } ?? [])
    }

    /// The text with a space behind each comma that has none.
    private static func spaced(_ source: SourceText) -> SourceText {
        guard source.scalars.contains(",") else { return source }
        var text = SourceText()
        text.end = source.end
        var start = 0
        var index = 0
        while index + 1 < source.count {
            if source.scalars[index] == ",", !source.scalars[index + 1].isPythonSpace {
                text.append(start..<index + 1, of: source)
                text.append(" ", from: source.offsets[index + 1])
                index += 1
                start = index
            }
            index += 1
        }
        text.append(start..<source.count, of: source)
        return text
    }

    private static func blend(
        _ prompts: [[CompelNode]], _ weights: [Double], _ normalized: Bool, at offset: Int,
        _ flattening: inout Flattening
    ) throws(PromptError) -> [PromptProgram.Blended] {
        var factors = weights.map { Float($0) }
        if normalized {
            let sum = factors.reduce(0, +)
            factors = factors.map { $0 / sum }
        }
        guard factors.allSatisfy(\.isFinite) else {
            throw .syntax(
                offset: offset, message: "the weights of the blend add up to nothing finite")
        }
        var blended: [PromptProgram.Blended] = []
        for (nodes, factor) in zip(prompts, factors) {
            guard let pieces = try flattening.pieces(of: nodes) else {
                throw .syntax(offset: offset, message: "a part of the blend has no text")
            }
            blended.append(.init(factor: factor, pieces: pieces))
        }
        return blended
    }

    /// Makes a list of fragments of a tree of weights.
    private struct Flattening {
        var loras: [PromptProgram.LoRA] = []

        /// nil when there is not even an empty fragment.
        mutating func pieces(of nodes: [CompelNode]) throws(PromptError) -> [PromptPiece]? {
            var fragments: [Fragment] = []
            try append(nodes, scale: 1, to: &fragments)
            guard !fragments.isEmpty else { return nil }
            let fused = Self.fused(fragments)
            let downWeighted = fused.count { $0.weight < 1 }
            guard downWeighted <= mostDownWeighted else {
                throw .tooMany(
                    what: "fragments of weights below 1", limit: mostDownWeighted,
                    actual: downWeighted)
            }
            return fused.map { .text($0.text[...].text, weight: $0.weight) }
        }

        private struct Fragment {
            var text: [Unicode.Scalar]
            var weight: Double
        }

        /// Neighbours of one weight joined. The original unescapes all of a text anew for each
        /// fragment that it appends.
        private static func fused(_ fragments: [Fragment]) -> [Fragment] {
            var fused: [Fragment] = []
            var start = 0
            while start < fragments.count {
                let weight = fragments[start].weight
                let end =
                    fragments[start...].firstIndex { $0.weight != weight } ?? fragments.count
                var text: [Unicode.Scalar] = []
                for index in start..<end {
                    if index > start { text.append(" ") }
                    let times = index > start ? end - index : end - start - 1
                    text += CompelNode.unescaped(fragments[index].text, times: times)
                }
                fused.append(Fragment(text: text, weight: weight))
                start = end
            }
            return fused
        }

        private mutating func append(
            _ nodes: [CompelNode], scale: Double, to fragments: inout [Fragment]
        ) throws(PromptError) {
            for node in nodes {
                switch node {
                case .fragment(let text, let offset):
                    guard Float(scale).isFinite else {
                        throw .syntax(
                            offset: offset,
                            message: "the weight \(scale) is not finite in single precision")
                    }
                    fragments.append(Fragment(text: CompelNode.unescaped(text), weight: scale))
                case .attention(let weight, let children):
                    try append(children, scale: scale * weight, to: &fragments)
                case .lora(let lora):
                    loras.append(lora)
                case .swap(let offset):
                    throw .syntax(
                        offset: offset,
                        message: ".swap() works on the sampler's attention, not on the text")
                }
            }
        }
    }
}

/// A node of a compel prompt.
enum CompelNode {
    case fragment([Unicode.Scalar], offset: Int)
    case attention(weight: Double, children: [CompelNode])
    case lora(PromptProgram.LoRA)
    case swap(offset: Int)

    /// A fragment's text: a bracket or quote behind backslashes loses one of them each time that the
    /// original makes a fragment of it.
    static func unescaped(_ text: [Unicode.Scalar], times: Int = 1) -> [Unicode.Scalar] {
        guard times > 0, text.contains("\\") else { return text }
        var out: [Unicode.Scalar] = []
        var backslashes = 0
        for scalar in text {
            if scalar == "\\" {
                backslashes += 1
            } else {
                if scalar == "(" || scalar == ")" || scalar == "\"" {
                    out.removeLast(min(times, backslashes))
                }
                backslashes = 0
            }
            out.append(scalar)
        }
        return out
    }
}
