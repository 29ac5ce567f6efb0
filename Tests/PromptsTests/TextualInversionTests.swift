import Encoders
import Guidance
import Prompts
import Testing

private let tokenizer = PromptFixtures.tokenizer

@Suite struct TextualInversionTests {
    private func compile(
        _ prompt: String, _ syntax: PromptSyntax, _ embeddings: [String: Int],
        _ policy: LongPromptPolicy = .chunk
    ) throws -> CompiledPrompt {
        try PromptCompiler(
            syntax: syntax, tokenizer: tokenizer, longPrompts: policy, embeddings: embeddings
        ).compile(prompt, steps: 10, isNegative: true)
    }

    /// The content of a chunk: words, and `name.vector` for vectors.
    private func content(_ compiled: CompiledPrompt, chunk: Int = 0) -> [String] {
        let chunk = compiled.conditionings[0].chunks[chunk]
        return compiled.rows[chunk.row].entries[1..<chunk.contentCount + 1].map { entry in
            switch entry {
            case .token(let token): tokenizer.decode([token])
            case .embedding(let name, let vector): "\(name).\(vector)"
            }
        }
    }

    private func words(_ count: Int, _ word: String = "cat") -> String {
        Array(repeating: word, count: count).joined(separator: " ")
    }

    @Test(
        arguments: [
            ("a Style, cat", ["a", "style.0", "style.1", ",", "cat"]),
            ("stylee", ["sty", "lee"]),
            // The longest name wins.
            ("my style two cat", ["my", "style two.0", "cat"]),
            ("my style twos", ["my", "style.0", "style.1", "tw", "os"]),
            ("STYLE", ["style.0", "style.1"]),
            ("<style>", ["<", "style.0", "style.1", ">"]),
            ("embedding:style", ["embed", "ding", ":", "style.0", "style.1"]),
        ] as [(String, [String])])
    func a1111FindsNamesAmongTheTokens(prompt: String, expected: [String]) throws {
        let found = try compile(prompt, .a1111, ["style": 2, "style two": 1])
        #expect(content(found) == expected)
    }

    @Test(
        arguments: [
            ("a embedding:style cat", ["a", "style.0", "style.1", "cat"], []),
            ("embedding:style, cat", ["style.0", "style.1", ",", "cat"], []),
            ("embedding:style.pt cat", ["style.0", "style.1", "cat"], []),
            ("x\nembedding:style\nembedding:b", ["x", "style.0", "style.1", "b.0"], []),
            ("(embedding:style:1.5)", ["style.0", "style.1"], []),
            ("a embedding:Style cat", ["a", "cat"], ["embedding:Style"]),
            ("embedding:nothing, cat", [",", "cat"], ["embedding:nothing"]),
            ("aembedding:style", ["a", "embed", "ding", ":", "style"], []),
            ("embedding:", [], ["embedding:"]),
            (#"embedding:c\(d\) e"#, ["c(d).0", "e"], []),
        ] as [(String, [String], [String])])
    func comfyFindsNamesBehindItsMark(
        prompt: String, expected: [String], ignored: [String]
    ) throws {
        let found = try compile(prompt, .comfy, ["style": 2, "b": 1, "c(d)": 1])
        #expect(content(found).filter { $0 != "" } == expected)
        #expect(found.ignoredText == ignored)
    }

    @Test(
        arguments: [
            ("a <style> cat", ["a", "style.0", "style.1", "cat"]),
            ("a<STYLE>cat", ["a", "style.0", "style.1", "cat"]),
            ("<style>_1 <style>_2", ["style.1", "style.0", "style.1", "_", "2"]),
            ("<b>", ["<b>.0"]),
            ("style", ["style"]),
            ("<styles>", ["<", "styles", ">"]),
            ("<<style>_01<ÖX>_11", ["<", "style.0", "style.1", "_", "0", "1", "öx.1", "1"]),
            ("<a>b> <a>c", ["<a>b>.0", "<a>.0", "c"]),
        ] as [(String, [String])], [PromptSyntax.plain, .compel])
    func diffusersFindsNamesInBrackets(
        _ example: (prompt: String, expected: [String]), syntax: PromptSyntax
    ) throws {
        let found = try compile(
            example.prompt, syntax, ["style": 2, "<b>": 1, "öx": 3, "<a>b>": 1, "<a>": 1])
        #expect(content(found) == example.expected)
    }

    @Test func vectorsHaveTheWeightOfTheirText() throws {
        let cases: [(String, PromptSyntax)] = [
            ("a (style:1.5)", .a1111), ("a (embedding:style:1.5)", .comfy),
            ("a (<style>)1.5", .compel),
        ]
        for (prompt, syntax) in cases {
            let chunk = try compile(prompt, syntax, ["style": 3]).conditionings[0].chunks[0]
            #expect(Array(chunk.weights[..<6]) == [1, 1, 1.5, 1.5, 1.5, 1], "\(syntax)")
        }
    }

    @Test(arguments: [
        (PromptSyntax.a1111, "style"), (.comfy, " embedding:style"), (.plain, "<style>"),
        (.compel, "<style>"),
    ])
    func vectorsStayTogether(syntax: PromptSyntax, spelled: String) throws {
        let prompt = words(70) + " " + spelled + " dog"
        let chunked = try compile(prompt, syntax, ["style": 10])
        #expect(chunked.conditionings[0].chunks.map(\.contentCount) == [70, 11])
        // In compel no vector is the end of a word.
        let fits = try compile(prompt, syntax, ["style": 5])
        let expected = syntax == .compel ? [70, 6] : [75, 1]
        #expect(fits.conditionings[0].chunks.map(\.contentCount) == expected)
        let cut = try compile(prompt, syntax, ["style": 10], .truncate).conditionings[0]
        #expect(cut.chunks.map(\.contentCount) == [70])
        #expect(cut.droppedTokens == 11)
        let dropped = cut.droppedText.joined(separator: " ")
        #expect(dropped.contains("style") && dropped.contains("dog"))
    }

    @Test func a1111MovesWhatFollowsACommaWithItsVectors() throws {
        let prompt = words(60) + ", style " + words(20, "dog")
        let found = try compile(prompt, .a1111, ["style": 10])
        #expect(found.conditionings[0].chunks.map(\.contentCount) == [61, 30])
        #expect(content(found, chunk: 1).first == "style.0")
    }

    @Test(arguments: PromptSyntax.allCases, [0, -1, 76])
    func vectorsThatFitIntoNoChunkAreRefused(syntax: PromptSyntax, vectors: Int) throws {
        #expect(throws: PromptError.embedding(name: "x", vectors: vectors, limit: 75)) {
            try compile("<x> x embedding:x", syntax, ["x": vectors])
        }
        #expect(try compile("y", syntax, ["x": vectors]).rows.count == 1)
        let all = try compile("<x> x embedding:x", syntax, ["x": 75])
        #expect(all.rows.contains { $0.tokens == nil })
    }
}
