import Encoders
import Guidance
import Prompts
import Testing

private let tokenizer = PromptFixtures.tokenizer

@Suite("Emphasis apart from the dialect")
struct EmphasisTests {
    private func weights(
        _ prompt: String, _ syntax: PromptSyntax, _ emphasis: Emphasis
    ) throws -> [[Float]] {
        let compiled = try PromptCompiler(syntax: syntax, tokenizer: tokenizer)
            .compile(prompt, emphasis: emphasis)
        return compiled.conditionings[0].chunks.map { Array($0.weights[1...$0.contentCount]) }
    }

    private func words(
        _ prompt: String, _ syntax: PromptSyntax, _ emphasis: Emphasis
    ) throws -> [String] {
        let compiled = try PromptCompiler(syntax: syntax, tokenizer: tokenizer)
            .compile(prompt, emphasis: emphasis)
        let chunk = compiled.conditionings[0].chunks[0]
        return (compiled.rows[chunk.row].tokens ?? [])[1...chunk.contentCount].map {
            tokenizer.decode([$0])
        }
    }

    @Test(
        "ignored weights are 1, and their brackets still vanish",
        arguments: [
            ("a (red:1.5) cat", PromptSyntax.a1111), ("a (red:1.5) cat", .comfy),
            ("a (red)1.5 cat", .compel), ("a [red] cat", .a1111), ("a (red)-- cat", .compel),
        ])
    func ignore(_ prompt: String, _ syntax: PromptSyntax) throws {
        #expect(try weights(prompt, syntax, .ignore) == [[1, 1, 1]])
        #expect(try words(prompt, syntax, .ignore) == ["a", "red", "cat"])
        #expect(try weights(prompt, syntax, .original) != [[1, 1, 1]])
        let compiled = try PromptCompiler(syntax: syntax, tokenizer: tokenizer)
            .compile(prompt, emphasis: .ignore)
        #expect(compiled.emptyRow == nil)
    }

    @Test(
        "without a mechanism the syntax is text",
        arguments: [PromptSyntax.a1111, .comfy, .compel])
    func none(_ syntax: PromptSyntax) throws {
        let expected = try words("a (red:1.5) cat", .plain, .original)
        #expect(try words("a (red:1.5) cat", syntax, .none) == expected)
        #expect(expected.contains("("))
    }

    @Test("without a mechanism A1111 knows no BREAK, but its schedules and LoRAs")
    func noneOfA1111() throws {
        let program = try PromptProgram(
            "a (cat:1.2) BREAK [b:c:2] <lora:x:1>", syntax: .a1111, steps: 4, emphasis: .none)
        #expect(program.segments.map(\.untilStep) == [2, 4])
        #expect(
            program.compositions.map(\.text) == ["a (cat:1.2) BREAK b", "a (cat:1.2) BREAK c"])
        let pieces = program.compositions[0].terms[0].blend[0].pieces
        #expect(pieces == [.text("a (cat:1.2) BREAK b", weight: 1)])
        #expect(program.loras.map(\.name) == ["x"])
    }

    @Test("ComfyUI's escapes are undone without a mechanism too")
    func escapes() throws {
        let program = try PromptProgram(#"a \(b\) (c:2)"#, syntax: .comfy, emphasis: .none)
        let pieces = program.compositions[0].terms[0].blend[0].pieces
        #expect(pieces == [.text("a (b) (c:2)", weight: 1)])
    }

    @Test("no norm leaves the mean where the weights put it, in A1111's dialect")
    func noNorm() throws {
        func states(_ syntax: PromptSyntax, _ emphasis: Emphasis) throws -> [Float] {
            PromptFixtures.states(
                try PromptCompiler(syntax: syntax, tokenizer: tokenizer)
                    .compile("a (red:1.5) cat", emphasis: emphasis))
        }
        let plain = try states(.a1111, .ignore)
        let weighted = try states(.a1111, .noNorm)
        // Two features a row; the word is the second of the content.
        #expect(weighted[4..<6].elementsEqual(plain[4..<6].map { $0 * 1.5 }))
        #expect(weighted[..<4] == plain[..<4] && weighted[6...] == plain[6...])
        #expect(try states(.a1111, .original) != weighted)
        #expect(try states(.comfy, .noNorm) == states(.comfy, .original))
    }

    @Test("compel's conjunctions and blends keep their shares when weights are ignored")
    func shares() throws {
        let program = try PromptProgram(
            #"("a (cat)1.4", "b").and(1, 0.5)"#, syntax: .compel, emphasis: .ignore)
        #expect(program.compositions[0].terms.map(\.weight) == [1, 0.5])
        let pieces = program.compositions[0].terms[0].blend[0].pieces
        #expect(pieces.allSatisfy { if case .text(_, 1) = $0 { true } else { false } })
    }
}
