/// A textual inversion's name that a prompt has in its text without using the inversion.
public struct UnusedName: Sendable, Hashable {
    public enum Reason: Sendable, Hashable {
        /// The name stands there as a word, not as the dialect spells it; this is how it would.
        case bare(spelling: String)
        /// It is spelled as it should be, but the tower has no vectors of that name.
        case noVectors
    }

    public let name: String
    public let reason: Reason
}

/// Finds names of textual inversions in what stays text: somebody may have meant them.
struct NameSearch: Sendable {
    private struct Name {
        let name: String
        /// In lower case, without what is no part of a word at its ends.
        let bare: [Unicode.Scalar]
        /// What the dialect's spelling has before and behind the bare name, in lower case.
        let before: [Unicode.Scalar]
        let behind: [Unicode.Scalar]
        let spelling: String
        let isForeign: Bool
    }

    private let syntax: PromptSyntax
    /// By the first word of the bare name.
    private let names: [[Unicode.Scalar]: [Name]]
    private let foreign: Set<String>

    /// - Parameters:
    ///   - usable: names that the tower has vectors of.
    ///   - foreign: names that it has none of.
    init(syntax: PromptSyntax, usable: [String], foreign: [String]) {
        self.syntax = syntax
        self.foreign = Set(foreign)
        var names: [[Unicode.Scalar]: [Name]] = [:]
        for (name, isForeign) in usable.map({ ($0, false) }) + foreign.map({ ($0, true) }) {
            let spelling = Self.spelling(of: name, syntax)
            let lower = Self.lowercased(Array(spelling.unicodeScalars))
            // `embedding:` is part of the spelling only.
            let own = Self.lowercased(Array(name.unicodeScalars))
            let first = own.firstIndex(where: \.isPythonWord)
            guard let first, let last = own.lastIndex(where: \.isPythonWord) else { continue }
            let start = lower.count - own.count - (spelling.hasSuffix(name) ? 0 : 1) + first
            let found = Name(
                name: name, bare: Array(own[first...last]), before: Array(lower[..<start]),
                behind: Array(lower[(start + last - first + 1)...]), spelling: spelling,
                isForeign: isForeign)
            names[Array(own[first...].prefix(while: \.isPythonWord)), default: []].append(found)
        }
        self.names = names
    }

    /// How a prompt asks for a textual inversion.
    private static func spelling(of name: String, _ syntax: PromptSyntax) -> String {
        switch syntax {
        case .a1111: name
        case .comfy: "embedding:\(name)"
        case .plain, .compel: name.hasPrefix("<") && name.hasSuffix(">") ? name : "<\(name)>"
        }
    }

    /// One scalar each, so that places stay what they are.
    private static func lowercased(_ scalars: [Unicode.Scalar]) -> [Unicode.Scalar] {
        scalars.map { scalar in
            let lower = scalar.properties.lowercaseMapping.unicodeScalars
            return lower.count == 1 ? lower.first ?? scalar : scalar
        }
    }

    /// - Parameter unknown: ComfyUI's names that were left out, with `embedding:`.
    func unused(in runs: [ContentRun], _ unknown: [String]) -> [UnusedName] {
        guard !names.isEmpty else { return [] }
        var found: [UnusedName] = []
        for run in runs where !run.isName { search(run.text, &found) }
        for spelled in unknown {
            let name = String(spelled.dropFirst("embedding:".count))
            let endings = [".safetensors", ".pt", ".bin"].filter { name.hasSuffix($0) }
            for name in [name] + endings.map({ String(name.dropLast($0.count)) })
            where foreign.contains(name) {
                found.append(UnusedName(name: name, reason: .noVectors))
            }
        }
        return found
    }

    private func search(_ text: String, _ found: inout [UnusedName]) {
        let text = Self.lowercased(Array(text.unicodeScalars))
        var index = 0
        while index < text.count {
            guard text[index].isPythonWord else {
                index += 1
                continue
            }
            let word = Array(text[index...].prefix(while: \.isPythonWord))
            for name in names[word] ?? [] where text[index...].starts(with: name.bare) {
                let end = index + name.bare.count
                guard end == text.count || !text[end].isPythonWord else { continue }
                let isSpelled =
                    text[..<index].suffix(name.before.count).elementsEqual(name.before)
                    && text[end...].starts(with: name.behind)
                if isSpelled, !name.isForeign { continue }
                found.append(
                    UnusedName(
                        name: name.name,
                        reason: isSpelled ? .noVectors : .bare(spelling: name.spelling)))
            }
            index += word.count
        }
    }
}
