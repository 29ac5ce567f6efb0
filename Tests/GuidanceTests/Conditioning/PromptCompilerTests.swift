import Encoders
import Guidance
import Testing

private let tokenizer = BytePairTokenizer.clip(cleaning: .transformers)

@Suite struct PromptChunksTests {
    private func words(_ count: Int) -> String {
        Array(repeating: "cat", count: count).joined(separator: " ")
    }

    private func chunks(
        _ prompt: String, _ syntax: PromptSyntax, _ policy: LongPromptPolicy = .chunk,
        padToken: Int32? = nil
    ) throws -> PromptChunks {
        try PromptChunks(
            prompt, syntax: syntax, tokenizer: tokenizer, padToken: padToken, policy: policy)
    }

    @Test(arguments: PromptSyntax.allCases)
    func emptyPromptIsOneRow(syntax: PromptSyntax) throws {
        let rows = try chunks("", syntax, .error, padToken: 0).rows
        #expect(rows.map(\.tokens) == [[49406, 49407] + [Int32](repeating: 0, count: 75)])
        #expect(rows[0].endIndex == 1)
        #expect(rows[0].weights == [Float](repeating: 1, count: 77))
    }

    @Test(arguments: PromptSyntax.allCases)
    func fullRowHasNoPadding(syntax: PromptSyntax) throws {
        let rows = try chunks(words(75), syntax, .error, padToken: 0).rows
        let cat = try #require(tokenizer.encode("cat").first)
        #expect(
            rows.map(\.tokens) == [[49406] + [Int32](repeating: cat, count: 75) + [49407]])
        #expect(rows[0].endIndex == 76)
    }

    @Test func weightsBelongToTheirTokens() throws {
        let rows = try chunks("a (red:1.5) cat", .a1111).rows
        #expect(Array(rows[0].weights.prefix(6)) == [1, 1, 1.5, 1, 1, 1])
        #expect(rows[0].contentCount == 3)
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
        #expect(try chunks(prompt, .a1111).rows.map(\.contentCount) == expected)
        let total = upToComma + after
        #expect(try chunks(prompt, .plain).rows.map(\.contentCount) == [75, total - 75])
    }

    @Test func breakEndsAChunk() throws {
        let cases: [(String, [Int])] = [
            ("cat BREAK cat cat", [1, 2]), ("cat BREAK", [1]), ("BREAK cat", [0, 1]),
            ("BREAK BREAK", [0, 0]), (words(80) + " BREAK cat", [75, 5, 1]),
        ]
        for (prompt, expected) in cases {
            #expect(try chunks(prompt, .a1111).rows.map(\.contentCount) == expected)
        }
    }

    @Test func comfyMovesShortPiecesWholeAndCutsLongOnes() throws {
        let short = words(72) + " (" + words(7) + ")"
        #expect(try chunks(short, .comfy).rows.map(\.contentCount) == [72, 7])
        let long = words(72) + " (" + words(8) + ")"
        let rows = try chunks(long, .comfy).rows
        #expect(rows.map(\.contentCount) == [75, 5])
        #expect(Array(rows[1].weights.prefix(7)) == [1, 1.1, 1.1, 1.1, 1.1, 1.1, 1])
        #expect(try chunks(words(68) + " (" + words(7) + ")", .comfy).rows.count == 1)
    }

    @Test(arguments: PromptSyntax.allCases)
    func longPromptsAreCutOrRefusedAndAccountedFor(syntax: PromptSyntax) throws {
        let prompt = words(75) + " Dog bird"
        let cut = try chunks(prompt, syntax, .truncate)
        #expect(cut.rows.map(\.contentCount) == [75])
        #expect(cut.droppedTokens == 2)
        #expect(cut.droppedText.map { $0.filter { $0 != " " } } == ["dogbird"])
        #expect(
            throws: PromptError.tooLong(
                tokens: 79, limit: 77, excess: cut.droppedText.joined(separator: " "))
        ) { try chunks(prompt, syntax, .error) }
        let chunked = try chunks(prompt, syntax)
        #expect(chunked.rows.map(\.contentCount) == [75, 2])
        #expect(chunked.droppedTokens == 0 && chunked.droppedText.isEmpty)
    }

    @Test func sectionsAreTruncatedApart() throws {
        let cut = try chunks(words(76) + " BREAK (dog) bird", .a1111, .truncate)
        #expect(cut.rows.map(\.contentCount) == [75, 2])
        #expect(cut.droppedTokens == 1)
    }

    @Test func paddingAppendsEmptyPrompts() throws {
        var negative = try chunks("cat", .a1111)
        negative.pad(to: 3)
        let empty = try chunks("", .a1111)
        #expect(negative.rows.count == 3)
        #expect(negative.rows[1] == empty.rows[0] && negative.rows[2] == empty.rows[0])
    }

    @Test func tooShortContextIsRefused() throws {
        #expect(throws: PromptError.contextLength(2)) {
            try PromptChunks("", syntax: .plain, tokenizer: tokenizer, contextLength: 2)
        }
    }

    @Test(arguments: PromptSyntax.allCases)
    func randomPromptsAddUp(syntax: PromptSyntax) throws {
        let parts = [
            "(", ")", "[", "]", "\\", ":", ":1.3)", ":0)", ": -2 )", "BREAK", " BREAK ", ",", ", ",
            " ", "\n", "cat", "dog ", "Ünïcödé", "👩‍🚀", "\u{301}", "\0", "AND", "|", "0.5", "+", "\"",
            "<|endoftext|>", "a lighthouse on a cliff, ", "supercalifragilisticexpialidocious",
        ]
        var random = SplitMix64(state: 11)
        var refused = 0
        for number in 0..<10_000 {
            let count = Int.random(in: 0...(number % 20 == 0 ? 120 : 12), using: &random)
            let prompt = (0..<count).map { _ in
                parts[Int.random(in: 0..<parts.count, using: &random)]
            }
            .joined()
            let policy = number % 2 == 0 ? LongPromptPolicy.chunk : .truncate
            guard let pieces = try? syntax.parse(prompt) else {
                // Two numbers in a row, such as (a:0.50.5), are no weight.
                #expect(throws: PromptError.self) { try chunks(prompt, syntax, policy) }
                refused += 1
                continue
            }
            let result = try chunks(prompt, syntax, policy, padToken: 0)
            var expected: [Int32] = []
            for case .text(let text, _) in pieces { expected += tokenizer.encode(text) }
            var content: [Int32] = []
            for row in result.rows {
                #expect(row.tokens.count == 77 && row.weights.count == 77)
                #expect(row.tokens[0] == 49406 && row.tokens[row.endIndex] == 49407)
                #expect(row.tokens[(row.contentCount + 2)...].allSatisfy { $0 == 0 })
                content += row.tokens[1..<row.contentCount + 1]
            }
            #expect(content.count + result.droppedTokens == expected.count, "\(prompt)")
            #expect((result.droppedTokens > 0) == !result.droppedText.isEmpty, "\(prompt)")
            if policy == .chunk { #expect(content == expected, "\(prompt)") }
        }
        #expect(refused < 100)
    }

    @Test(arguments: PromptSyntax.allCases)
    func textWithoutSyntaxIsTheSameInEveryDialect(syntax: PromptSyntax) throws {
        let parts = [
            "cat ", "a red house ", "Dog ", "été ", "42 ", "sky. ", "it's ", "\n", "x-ray ",
        ]
        var random = SplitMix64(state: 12)
        for _ in 0..<2_000 {
            let count = Int.random(in: 0...60, using: &random)
            let prompt = (0..<count).map { _ in
                parts[Int.random(in: 0..<parts.count, using: &random)]
            }
            .joined()
            #expect(try chunks(prompt, syntax) == chunks(prompt, .plain), "\(prompt)")
        }
    }
}
