import Guidance
import Prompts
import Testing

/// Cases are worked out by hand from the rules of the originals.
@Suite struct PromptSyntaxTests {
    @Test(
        arguments: [
            ("", []),
            ("a cat", [.text("a cat", weight: 1)]),
            (
                "a (red) cat",
                [.text("a ", weight: 1), .text("red", weight: 1.1), .text(" cat", weight: 1)]
            ),
            ("[x]", [.text("x", weight: 1 / 1.1)]),
            ("(x:1.3)", [.text("x", weight: 1.3)]),
            ("(x: 1.3 )", [.text("x", weight: 1.3)]),
            ("(x:-.5)", [.text("x", weight: -0.5)]),
            ("(x:1e2)", [.text("x:1e2", weight: 1.1)]),
            (
                "(a (b:2) c)",
                [.text("a ", weight: 1.1), .text("b", weight: 2 * 1.1), .text(" c", weight: 1.1)]
            ),
            ("(a [b)", [.text("a ", weight: 1.1), .text("b", weight: 1.1 * (1 / 1.1))]),
            ("((a", [.text("a", weight: 1.1 * 1.1)]),
            ("a) b] :2)", [.text("a) b] :2)", weight: 1)]),
            (#"\(a\) \[b\] \\ \c"#, [.text(#"(a) [b] \ c"#, weight: 1)]),
            ("(a)(b)", [.text("ab", weight: 1.1)]),
            ("10:30", [.text("10:30", weight: 1)]),
            ("()", []),
            ("a BREAK b", [.text("a", weight: 1), .chunkBreak, .text("b", weight: 1)]),
            ("BREAK  BREAK", [.chunkBreak, .chunkBreak]),
            ("BREAKS aBREAK", [.text("BREAKS aBREAK", weight: 1)]),
            ("x,BREAK:y", [.text("x,", weight: 1), .chunkBreak, .text(":y", weight: 1)]),
            (
                "(a BREAK b)",
                [.text("a", weight: 1.1), .text("BREAK", weight: -1.1), .text("b", weight: 1.1)]
            ),
            ("(a BREAK b:1)", [.text("a", weight: 1), .chunkBreak, .text("b", weight: 1)]),
            ("e\u{301}(\u{301}x)", [.text("e\u{301}", weight: 1), .text("\u{301}x", weight: 1.1)]),
        ] as [(String, [PromptPiece])])
    func a1111(prompt: String, expected: [PromptPiece]) throws {
        #expect(try pieces(prompt, .a1111) == expected)
    }

    @Test(
        arguments: [
            ("", []),
            (
                "a (red) cat",
                [.text("a ", weight: 1), .text("red", weight: 1.1), .text(" cat", weight: 1)]
            ),
            ("[x] BREAK", [.text("[x] BREAK", weight: 1)]),
            ("((x))", [.text("x", weight: 1.1 * 1.1)]),
            ("((x:0.5))", [.text("x", weight: 0.5)]),
            ("((a) b:2)", [.text("a", weight: 2 * 1.1), .text(" b", weight: 2)]),
            ("(x: 1_0e-1 )", [.text("x", weight: 1)]),
            ("(a:b)", [.text("a:b", weight: 1.1)]),
            ("(:2)", [.text(":2", weight: 1.1)]),
            ("(a:)", [.text("a:", weight: 1.1)]),
            (#"\(a\) (b\):2)"#, [.text("(a) ", weight: 1), .text("b)", weight: 2)]),
            (#"a\b"#, [.text(#"a\b"#, weight: 1)]),
            ("(a", [.text("(a", weight: 1)]),
            ("(a (b)", [.text("a ", weight: 1.1), .text("(b", weight: 1.1)]),
            ("a) (b)", [.text("a) (b)", weight: 1)]),
            ("(a)(b)", [.text("a", weight: 1.1), .text("b", weight: 1.1)]),
            ("()", []),
        ] as [(String, [PromptPiece])])
    func comfy(prompt: String, expected: [PromptPiece]) throws {
        #expect(try pieces(prompt, .comfy) == expected)
    }

    @Test func plainTextIsKeptAsItIs() throws {
        let text = #" (a:1.3) [b] \( BREAK "#
        #expect(try pieces(text, .plain) == [.text(text, weight: 1)])
        #expect(try pieces("", .plain).isEmpty)
    }

    @Test(arguments: [
        (PromptSyntax.a1111, "é (x:1.2.3)", 5),
        (.a1111, "(x:" + String(repeating: "9", count: 60) + ")", 1),
        (.a1111, String(repeating: "(", count: 201), 200),
        (.comfy, "ab (x:inf)", 3),
        (.comfy, "(x:nan)", 0),
        (.comfy, String(repeating: "(", count: 300) + String(repeating: ")", count: 300), 200),
    ])
    func errorsPointAtTheCharacter(syntax: PromptSyntax, prompt: String, offset: Int) throws {
        let error = #expect(throws: PromptError.self) { try pieces(prompt, syntax) }
        guard case .syntax(let found, let message) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(found == offset)
        #expect(!message.isEmpty)
    }

    @Test(.timeLimit(.minutes(1)), arguments: PromptSyntax.allCases)
    func thousandsOfBracketsAreNoWork(syntax: PromptSyntax) throws {
        let found = try pieces(String(repeating: "(a) b ", count: 30_000), syntax)
        // compel joins what has one weight.
        #expect(found.count == (syntax == .plain || syntax == .compel ? 1 : 60_000))
    }
}
