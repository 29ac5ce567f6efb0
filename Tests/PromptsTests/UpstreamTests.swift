import Encoders
import Guidance
import Prompts
import Testing

private let tokenizer = PromptFixtures.tokenizer

/// What the originals learned after their languages were first read here.
@Suite("Dialects as their originals have them today")
struct UpstreamTests {
    @Test(
        "A1111's comments reach to the end of the line",
        arguments: [
            ("a cat # a dog", "a cat \n", ["# a dog"]),
            ("a # b\nc", "a \nc", ["# b"]),
            ("# b\nc", "\nc", ["# b"]),
            ("a\n# b\nc", "a\nc", ["# b"]),
            ("a\n#b\n#c\nd", "a\n\nd", ["#b", "#c"]),
            ("a#b\n#c\nd", "a\nd", ["#b", "#c"]),
            ("a ## b # c", "a \n", ["## b # c"]),
            ("#", "\n", ["#"]), ("", "", []), ("no comment", "no comment", []),
            // A comment hides what it likes.
            ("a # <lora:x:1> AND (b\nc", "a \nc", ["# <lora:x:1> AND (b"]),
            ("a \\# b", "a \\\n", ["# b"]),
        ] as [(String, String, [String])])
    func comments(prompt: String, text: String, comments: [String]) throws {
        for isNegative in [false, true] {
            let program = try PromptProgram(prompt, syntax: .a1111, isNegative: isNegative)
            // Outside of negative prompts white space at the end of a part is no text.
            let trimmed =
                isNegative
                ? text
                : String(
                    text.reversed().drop { $0 == "\n" || $0 == " " }
                        .reversed())
            #expect(program.compositions.map(\.text) == [trimmed])
            #expect(program.ignoredText == comments)
            #expect(program.loras.isEmpty)
        }
    }

    @Test("errors behind a comment still point at their character")
    func offsets() {
        #expect {
            try PromptProgram("a # (((\né (x:1.2.3)", syntax: .a1111)
        } throws: { error in
            guard case PromptError.syntax(offset: 13, _) = error else { return false }
            return true
        }
    }

    @Test("only A1111 has comments", arguments: [PromptSyntax.plain, .comfy, .compel])
    func noComments(syntax: PromptSyntax) throws {
        let tokens = try PromptCompiler(syntax: syntax, tokenizer: tokenizer)
            .compile("a # b").conditionings[0].chunks[0].contentCount
        #expect(tokens == 3)
    }

    @Test("an empty box is empty, one with a comment is not")
    func emptiness() throws {
        #expect(try PromptProgram("", syntax: .a1111, isNegative: true).isEmpty)
        #expect(try PromptProgram("[:: 1]", syntax: .a1111, steps: 2, isNegative: true).isEmpty)
        for prompt in ["# nothing", " ", "[x::1]"] {
            #expect(
                try !PromptProgram(prompt, syntax: .a1111, steps: 2, isNegative: true).isEmpty)
        }
    }

    @Test(
        "ComfyUI's names end at < and [ and begin behind any white space",
        arguments: [
            ("embedding:style<b", ["style.0", "style.1", "<", "b"]),
            ("embedding:style[b] c", ["style.0", "style.1", "[", "b", "]", "c"]),
            ("a\tembedding:style", ["a", "style.0", "style.1"]),
            ("a\u{a0}embedding:style", ["a", "style.0", "style.1"]),
            ("a\u{3000}embedding:style\u{3000}c", ["a", "style.0", "style.1", "c"]),
            ("a\r\nembedding:style, c", ["a", "style.0", "style.1", ",", "c"]),
            ("embedding:<style>", ["<", "style", ">"]), ("embedding:<own> b", ["<own>.0", "b"]),
        ] as [(String, [String])])
    func comfyNames(prompt: String, expected: [String]) throws {
        let compiled = try PromptCompiler(
            syntax: .comfy, tokenizer: tokenizer, embeddings: ["style": 2, "<own>": 1]
        ).compile(prompt)
        let chunk = compiled.conditionings[0].chunks[0]
        let content = compiled.rows[chunk.row].entries[1..<chunk.contentCount + 1].map { entry in
            switch entry {
            case .token(let token): tokenizer.decode([token])
            case .embedding(let name, let vector): "\(name).\(vector)"
            }
        }
        #expect(content == expected)
    }

    @Test(
        "A1111's LoRAs have a strength for each network",
        arguments: [
            ("<lora:x>", 1, 1), ("<lora:x:0.5>", 0.5, 0.5), ("<lora:x:0.5:0.25>", 0.5, 0.25),
            ("<lora:x:te=0.5>", 0.5, 0.5), ("<lora:x:1:unet=0.25>", 1, 0.25),
            ("<lora:x:1:0.5:te=2:unet=3:dyn=4>", 2, 3), ("<lora:x:0.5:te=2>", 2, 2),
            ("<lora:x:0.5:0:8>", 0.5, 0),
        ] as [(String, Double, Double)])
    func strengths(prompt: String, text: Double, unet: Double) throws {
        let loras = try PromptProgram(prompt, syntax: .a1111).loras
        #expect(loras.map(\.weight) == [text] && loras.map(\.unetWeight) == [unet])
    }
}

@Suite("Names that are not used")
struct UnusedNameTests {
    private func unused(
        _ prompt: String, _ syntax: PromptSyntax, _ usable: [String] = ["cat-toy", "<dog>"],
        foreign: [String] = ["far"]
    ) throws -> [String] {
        try PromptCompiler(
            syntax: syntax, tokenizer: tokenizer,
            embeddings: Dictionary(uniqueKeysWithValues: usable.map { ($0, 1) }),
            foreignNames: foreign
        ).compile(prompt).unusedNames.map { unused in
            switch unused.reason {
            case .bare(let spelling): "\(unused.name) as \(spelling)"
            case .noVectors: "\(unused.name) nowhere"
            }
        }
    }

    @Test(
        "a bare word is named with the spelling that would use it",
        arguments: [
            ("a Cat-Toy, really", PromptSyntax.plain, ["cat-toy as <cat-toy>"]),
            ("a (cat-toy)1.2 and cat-toy", .compel, ["cat-toy as <cat-toy>"]),
            ("a cat-toy", .comfy, ["cat-toy as embedding:cat-toy"]),
            ("a cat-toy", .a1111, []),
            ("a dog", .plain, ["<dog> as <dog>"]), ("a dog", .a1111, ["<dog> as <dog>"]),
            ("a <cat-toy> and <DOG>", .plain, []), ("a <cat-toy>_1", .compel, []),
            ("embedding:cat-toy", .comfy, []), ("a <dog>", .a1111, []),
            ("a cat-toys, bobcat-toy, cat, toy", .plain, []),
            ("a <cat-toy", .plain, ["cat-toy as <cat-toy>"]),
        ] as [(String, PromptSyntax, [String])])
    func bare(prompt: String, syntax: PromptSyntax, expected: [String]) throws {
        #expect(try unused(prompt, syntax) == expected)
    }

    @Test(
        "a name that the tower has no vectors of is named",
        arguments: [
            ("a <far>", PromptSyntax.plain, ["far nowhere"]),
            ("a <FAR> view", .compel, ["far nowhere"]), ("a far view", .a1111, ["far nowhere"]),
            ("embedding:far, x", .comfy, ["far nowhere"]),
            ("embedding:far.pt", .comfy, ["far nowhere"]),
            ("a far view", .comfy, ["far as embedding:far"]), ("afar", .a1111, []),
        ] as [(String, PromptSyntax, [String])])
    func foreign(prompt: String, syntax: PromptSyntax, expected: [String]) throws {
        #expect(try unused(prompt, syntax) == expected)
        #expect(try unused("nothing", syntax).isEmpty)
    }
}
