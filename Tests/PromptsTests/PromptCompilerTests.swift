import Encoders
import Guidance
import Prompts
import Testing

private let tokenizer = PromptFixtures.tokenizer

@Suite struct PromptCompilerTests {
    private func words(_ count: Int) -> String {
        Array(repeating: "cat", count: count).joined(separator: " ")
    }

    private func compiled(
        _ prompt: String, _ syntax: PromptSyntax, _ policy: LongPromptPolicy = .chunk,
        padToken: Int32? = nil, contextLength: Int = 77
    ) throws -> CompiledPrompt {
        let compiler = try PromptCompiler(
            syntax: syntax, tokenizer: tokenizer, contextLength: contextLength,
            padToken: padToken, longPrompts: policy)
        return try compiler.compile(prompt, steps: 10, isNegative: true)
    }

    private func counts(_ prompt: String, _ syntax: PromptSyntax) throws -> [Int] {
        try compiled(prompt, syntax).conditionings[0].chunks.map(\.contentCount)
    }

    @Test(arguments: PromptSyntax.allCases)
    func emptyPromptIsOneRow(syntax: PromptSyntax) throws {
        let compiled = try compiled("", syntax, .error, padToken: 0)
        let expected = [[49406, 49407] + [Int32](repeating: 0, count: 75)]
        #expect(compiled.rows.compactMap(\.tokens) == expected)
        #expect(compiled.rows[0].endIndex == 1)
        #expect(compiled.rowCount == 1 && compiled.conditionings[0].pooledRow == 0)
        let chunk = compiled.conditionings[0].chunks[0]
        #expect(chunk.weights == [Float](repeating: 1, count: 77))
    }

    @Test(arguments: PromptSyntax.allCases)
    func fullRowHasNoPadding(syntax: PromptSyntax) throws {
        let rows = try compiled(words(75), syntax, .error, padToken: 0).rows
        let cat = try #require(tokenizer.encode("cat").first)
        let expected = [[49406] + [Int32](repeating: cat, count: 75) + [49407]]
        #expect(rows.compactMap(\.tokens) == expected)
        #expect(rows[0].endIndex == 76)
    }

    @Test func weightsBelongToTheirTokens() throws {
        let chunk = try compiled("a (red:1.5) cat", .a1111).conditionings[0].chunks[0]
        #expect(Array(chunk.weights.prefix(6)) == [1, 1, 1.5, 1, 1, 1])
        #expect(chunk.contentCount == 3)
    }

    @Test(arguments: [
        // The comma is token 60 of 75, 14 tokens follow it: they move on.
        (61, 20, [61, 20]),
        // The comma is at 55: 75 − 55 = 20, still near enough.
        (56, 30, [56, 30]),
        // At 54 it is not.
        (55, 30, [75, 10]),
        // A comma that comes first in the next chunk stays there.
        (76, 5, [75, 6]),
    ])
    func a1111MovesWhatFollowsALateComma(upToComma: Int, after: Int, expected: [Int]) throws {
        let prompt = words(upToComma - 1) + ", " + words(after)
        #expect(try counts(prompt, .a1111) == expected)
        let total = upToComma + after
        #expect(try counts(prompt, .plain) == [75, total - 75])
    }

    @Test func breakEndsAChunk() throws {
        let cases: [(String, [Int])] = [
            ("cat BREAK cat cat", [1, 2]), ("cat BREAK", [1]), ("BREAK cat", [0, 1]),
            ("BREAK BREAK", [0, 0]), (words(80) + " BREAK cat", [75, 5, 1]),
        ]
        for (prompt, expected) in cases {
            #expect(try counts(prompt, .a1111) == expected)
        }
    }

    @Test func comfyMovesShortPiecesWholeAndCutsLongOnes() throws {
        let short = words(72) + " (" + words(7) + ")"
        #expect(try counts(short, .comfy) == [72, 7])
        let long = words(72) + " (" + words(8) + ")"
        let rows = try compiled(long, .comfy).conditionings[0].chunks
        #expect(rows.map(\.contentCount) == [75, 5])
        #expect(Array(rows[1].weights.prefix(7)) == [1, 1.1, 1.1, 1.1, 1.1, 1.1, 1])
        #expect(try counts(words(68) + " (" + words(7) + ")", .comfy) == [75])
    }

    @Test(arguments: PromptSyntax.allCases)
    func longPromptsAreCutOrRefusedAndAccountedFor(syntax: PromptSyntax) throws {
        let prompt = words(75) + " Dog bird"
        let cut = try compiled(prompt, syntax, .truncate).conditionings[0]
        #expect(cut.chunks.map(\.contentCount) == [75])
        #expect(cut.droppedTokens == 2)
        #expect(cut.droppedText.map { $0.filter { $0 != " " } } == ["dogbird"])
        #expect(
            throws: PromptError.tooLong(
                tokens: 79, limit: 77, excess: cut.droppedText.joined(separator: " "))
        ) { try compiled(prompt, syntax, .error) }
        let chunked = try compiled(prompt, syntax).conditionings[0]
        #expect(chunked.chunks.map(\.contentCount) == [75, 2])
        #expect(chunked.droppedTokens == 0 && chunked.droppedText.isEmpty)
    }

    @Test func sectionsAreTruncatedApart() throws {
        let cut = try compiled(words(76) + " BREAK (dog) bird", .a1111, .truncate)
        #expect(cut.conditionings[0].chunks.map(\.contentCount) == [75, 2])
        #expect(cut.droppedTokens == 1)
    }

    @Test(arguments: PromptSyntax.allCases)
    func paddingAppendsEmptyPrompts(syntax: PromptSyntax) throws {
        let negative = try compiled("cat", syntax, padToken: 0)
        #expect(negative.emptyRow == nil && negative.rows.count == 1)
        let padded = negative.padded(toRows: 3)
        #expect(padded.rowCount == 3 && padded.rows.count == 2)
        let empty = try compiled("", syntax, padToken: 0)
        #expect(padded.rows[1] == empty.rows[0] && padded.emptyRow == 1)
        #expect(!padded.isEmpty(row: 0) && padded.isEmpty(row: 1) && empty.isEmpty(row: 0))
        let states = PromptFixtures.states(padded)
        let emptyStates = PromptFixtures.encode(empty.rows[0])
        #expect(states == PromptFixtures.encode(negative.rows[0]) + emptyStates + emptyStates)
        #expect(padded.padded(toRows: 2) == padded)
    }

    /// A1111's weighting, written out: each position times its weight, then the mean as it was.
    @Test func a1111KeepsTheMeanOfEachChunk() throws {
        let compiled = try compiled("a (cat:2) BREAK b", .a1111)
        #expect(compiled.emptyRow == nil)
        let z = PromptFixtures.encode(compiled.rows[0]).map(Double.init)
        let weighted = z.enumerated().map { $0.offset / 2 == 2 ? $0.element * 2 : $0.element }
        let scale = z.reduce(0, +) / weighted.reduce(0, +)
        let expected =
            weighted.map { $0 * scale } + PromptFixtures.encode(compiled.rows[1]).map(Double.init)
        let found = PromptFixtures.states(compiled)
        #expect(found.count == expected.count)
        for (found, expected) in zip(found, expected) {
            #expect(abs(Double(found) - expected) < 1e-6)
        }
    }

    /// ComfyUI's weighting, written out: away from the empty prompt, position by position.
    @Test func comfyMovesAwayFromTheEmptyPrompt() throws {
        let compiled = try compiled("a (cat:0.5) \(words(80))", .comfy, padToken: 0)
        let empty = PromptFixtures.encode(compiled.rows[try #require(compiled.emptyRow)])
        let found = PromptFixtures.states(compiled)
        let rows = [0, 1].map { PromptFixtures.encode(compiled.rows[$0]) }
        #expect(Array(found[154...]) == rows[1])
        for index in 0..<154 {
            let z = rows[0][index]
            let expected = index / 2 == 2 ? empty[index] + 0.5 * (z - empty[index]) : z
            #expect(abs(found[index] - expected) < 1e-6)
        }
    }

    @Test func textsOfAConjunctionAreEachOneConditioning() throws {
        let compiler = try PromptCompiler(
            syntax: .a1111, tokenizer: tokenizer, longPrompts: .chunk)
        let compiled = try compiler.compile("[(cat:2)|dog] AND \(words(80)):-1", steps: 3)
        #expect(compiled.segments.map(\.untilStep) == [1, 2, 3])
        #expect(
            compiled.segments.map { $0.parts.map(\.composition) } == [[0, 1], [2, 1], [0, 1]])
        #expect(compiled.segments[0].parts.map(\.weight) == [1, -1])
        #expect(compiled.conditionings.map(\.rowCount) == [1, 2, 1])
        #expect(compiled.padded(toRows: 2).conditionings.map(\.rowCount) == [2, 2, 2])
    }

    @Test func towersShareOneProgram() throws {
        let program = try PromptProgram("a (cat:1.2)", syntax: .comfy)
        let left = try PromptCompiler(syntax: .comfy, tokenizer: tokenizer).compile(program)
        let other = BytePairTokenizer.clip(cleaning: .openCLIP)
        let right = try PromptCompiler(syntax: .comfy, tokenizer: other, padToken: 0)
            .compile(program)
        #expect(left.rows.count == 2 && left.emptyRow == 1 && right.emptyRow == 1)
        #expect(left.conditionings == right.conditionings)
        #expect(left.rows[0].tokens?.last == 49407 && right.rows[0].tokens?.last == 0)
    }

    @Test func tooShortContextIsRefused() throws {
        #expect(throws: PromptError.contextLength(2)) {
            try compiled("", .plain, contextLength: 2)
        }
    }

    @Test(arguments: PromptSyntax.allCases)
    func randomPromptsAddUp(syntax: PromptSyntax) throws {
        let parts = [
            "(", ")", "[", "]", "\\", ":", ":1.3)", ":0)", ": -2 )", "BREAK", " BREAK ", ",", ", ",
            " ", "\n", "cat", "dog ", "Ünïcödé", "👩‍🚀", "\u{301}", "\0", " AND ", "|", "0.5", "+",
            "\"", "<|endoftext|>", "a lighthouse on a cliff, ",
            "supercalifragilisticexpialidocious",
            "[a:b:3]", "[c|d]", ":.5]", ")0.7 ", "--", "embedding:x", "embedding:ti, ", "<ti>",
            "<TI>_1", "ti", ".and(", ".blend(", ".swap(", "(\"", "\", \"", "\").and()",
            "\").blend(1, 2)", "useLora(l)", "<lora:l:0.5>", "<lora:", "<b:c>",
        ]
        let embeddings = ["ti": 4, "other": 12]
        var random = SplitMix64(state: 11)
        var refused = 0
        let limit = PromptFixtures.fuzzCount
        for number in 0..<limit {
            let count = Int.random(in: 0...(number % 20 == 0 ? 120 : 12), using: &random)
            let prompt = (0..<count).map { _ in
                parts[Int.random(in: 0..<parts.count, using: &random)]
            }
            .joined()
            let policy = number % 2 == 0 ? LongPromptPolicy.chunk : .truncate
            let compiler = try PromptCompiler(
                syntax: syntax, tokenizer: tokenizer, padToken: 0, longPrompts: policy,
                embeddings: number % 3 == 0 ? [:] : embeddings)
            let program: PromptProgram
            do {
                program = try PromptProgram(
                    prompt, syntax: syntax, steps: 4, isNegative: number % 4 < 2)
            } catch {
                // Two numbers in a row, such as (a:0.50.5), are no weight; compel refuses more.
                refused += 1
                continue
            }
            let compiled = try compiler.compile(program)
            #expect(compiled.segments == program.segments)
            #expect(compiled.conditionings.count == program.compositions.count)
            for (number, conditioning) in compiled.conditionings.enumerated() {
                checkRows(compiled, conditioning, prompt)
                if policy == .chunk { #expect(conditioning.droppedTokens == 0, "\(prompt)") }
                guard !prompt.contains("embedding:"), compiler.embeddings.isEmpty else { continue }
                var expected: [Int32] = []
                for text in program.compositions[number].terms.flatMap(\.blend) {
                    for case .text(let text, _) in text.pieces {
                        expected += tokenizer.encode(text)
                    }
                }
                var content: [Int32] = []
                for chunk in conditioning.chunks {
                    let tokens = try #require(compiled.rows[chunk.row].tokens)
                    content += tokens[1..<chunk.contentCount + 1]
                }
                let dropped = conditioning.droppedTokens
                #expect(content.count + dropped == expected.count, "\(prompt)")
                if policy == .chunk { #expect(content == expected, "\(prompt)") }
            }
            if number % 50 == 0 {
                let states = PromptFixtures.states(compiled)
                #expect(states.count == compiled.conditionings[0].rowCount * 77 * 2)
                #expect(!states.contains { !$0.isFinite }, "\(prompt)")
            }
        }
        #expect(refused < (syntax == .compel ? limit / 4 : limit / 30))
    }

    /// Whether the rows of a text are in order, and what is missing is reported.
    private func checkRows(
        _ compiled: CompiledPrompt, _ conditioning: PromptConditioning, _ prompt: String
    ) {
        for chunk in conditioning.chunks {
            let entries = compiled.rows[chunk.row].entries
            #expect(entries.count == 77 && chunk.weights.count == 77, "\(prompt)")
            #expect(entries[0] == .token(49406), "\(prompt)")
            #expect(entries[compiled.rows[chunk.row].endIndex] == .token(49407), "\(prompt)")
            #expect(
                entries[(chunk.contentCount + 2)...].allSatisfy { $0 == .token(0) }, "\(prompt)")
            // All vectors of a name are in one row, unless one was asked for alone.
            for index in 1..<77 {
                guard case .embedding(let name, let vector) = entries[index], vector == 0 else {
                    continue
                }
                let count = name == "ti" ? 4 : 12
                let expected = (0..<count).map { TokenEntry.embedding(name: name, vector: $0) }
                #expect(entries[index...].starts(with: expected), "\(prompt)")
            }
        }
        #expect(
            (conditioning.droppedTokens > 0) == !conditioning.droppedText.isEmpty, "\(prompt)")
    }

    @Test(
        .timeLimit(.minutes(1)), arguments: PromptSyntax.allCases,
        [
            "a.swap(", "\"a ", "\"\\\" ", "(a ", "(a) ", "[a|b] ", "[a:b:3] AND ", "a+ (b)0.9 ",
            "\\",
            "\\( ", "<ti", "<ti>", "embedding:ti ", "a:1.1)", "a, ", "((a) b)-", "\"a\".", "\n",
            "useLora(a) ", "<lora:a:1>", "<lora:", "(\"a\", ", "a++++",
        ])
    func repetitionIsNoWork(syntax: PromptSyntax, part: String) throws {
        let compiler = try PromptCompiler(
            syntax: syntax, tokenizer: tokenizer, longPrompts: .chunk, embeddings: ["ti": 3])
        let prompt = String(repeating: part, count: 20_000)
        let start = ContinuousClock.now
        do {
            #expect(try compiler.compile(prompt, steps: 20).rows.count >= 1)
        } catch {
            #expect(!error.description.isEmpty)
        }
        #expect(ContinuousClock.now - start < .seconds(20), "\(part)")
    }

    @Test(arguments: PromptSyntax.allCases)
    func textWithoutSyntaxIsTheSameInEveryDialect(syntax: PromptSyntax) throws {
        let parts = [
            "cat ", "a red house ", "Dog ", "été ", "42 ", "sky. ", "it's ", "\n", "x-ray ",
        ]
        var random = SplitMix64(state: 12)
        for _ in 0..<2_000 {
            // compel cuts long texts behind points.
            let count = Int.random(in: 0...(syntax == .compel ? 18 : 60), using: &random)
            let prompt = (0..<count).map { _ in
                parts[Int.random(in: 0..<parts.count, using: &random)]
            }
            .joined()
            let found = try compiled(prompt, syntax)
            let plain = try compiled(prompt, .plain)
            #expect(found.rows == plain.rows, "\(prompt)")
            #expect(found.conditionings[0].chunks == plain.conditionings[0].chunks, "\(prompt)")
            #expect(PromptFixtures.states(found) == PromptFixtures.states(plain))
        }
    }
}
