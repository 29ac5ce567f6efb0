import Encoders
import Glibc
import Guidance
import JSON
import Prompts
import Testing

/// What compel itself makes of prompts: `Tests/Generators/compel_prompts.py` writes the cases.
@Suite struct CompelTests {
    private static let tokenizer = PromptFixtures.tokenizer

    private func cases() throws -> [JSONValue] {
        if let corpus = getenv("COMPEL_CORPUS") {
            return try PromptFixtures.cases(path: String(cString: corpus))
        }
        return try PromptFixtures.cases("compel.json")
    }

    private func compile(_ row: JSONValue) throws -> CompiledPrompt {
        let compiler = try PromptCompiler(
            syntax: .compel, tokenizer: Self.tokenizer,
            padToken: Int32(try #require(row["pad"]?.intValue)),
            longPrompts: row["chunk"]?.boolValue == true ? .chunk : .truncate,
            embeddings: row["inversions"] == nil ? [:] : ["<ti>": 3, "one": 1])
        return try compiler.compile(try #require(row["prompt"]?.stringValue))
    }

    @Test func promptsMeanWhatTheyMeanToCompel() throws {
        var compared = 0
        for row in try cases() where row["empty"] == nil {
            let prompt = try #require(row["prompt"]?.stringValue)
            guard let terms = row["terms"]?.arrayValue else {
                #expect(throws: PromptError.self, "\(row["error"]?.stringValue ?? ""): \(prompt)") {
                    try PromptProgram(prompt, syntax: .compel)
                }
                continue
            }
            let program = try? PromptProgram(prompt, syntax: .compel)
            guard let program else {
                Issue.record("refused: \(prompt)")
                continue
            }
            // Without any text compel fails later on; here that is the empty prompt.
            let expected = terms.isEmpty ? [#"1.0 ["1.0:[]"]"#] : terms.map(Self.term)
            #expect(program.compositions[0].terms.map(Self.description) == expected, "\(prompt)")
            let loras = program.loras.map { "\($0.name) \($0.weight)" }
            let expectedLoras = (row["loras"]?.arrayValue ?? []).map { lora in
                "\(lora.arrayValue?[0].stringValue ?? "") \(lora.arrayValue?[1].doubleValue ?? 0)"
            }
            #expect(loras == expectedLoras, "\(prompt)")
            compared += 1
        }
        #expect(compared > 150)
    }

    /// A term of the fixture, its factors normalised if it says so, as text. Fragments without text
    /// count for nothing.
    private static func term(_ value: JSONValue) -> String {
        let parts = value.arrayValue ?? []
        let blend = (parts[2].arrayValue ?? []).map { $0.arrayValue ?? [] }
        var factors = blend.map { Float($0[0].doubleValue ?? 0) }
        if parts[1].boolValue == true {
            let sum = factors.reduce(0, +)
            factors = factors.map { $0 / sum }
        }
        let texts = zip(factors, blend).map { factor, text in
            let fragments = (text[1].arrayValue ?? []).map { $0.arrayValue ?? [] }
                .filter { $0[0].stringValue != "" }
            let spelled = fragments.map { "\($0[0].stringValue ?? "")@\($0[1].doubleValue ?? 0)" }
            return "\(factor):\(spelled)"
        }
        return "\(Float(parts[0].doubleValue ?? 0)) \(texts)"
    }

    private static func description(_ term: PromptProgram.Term) -> String {
        let texts = term.blend.map { text in
            let spelled = text.pieces.compactMap { piece in
                guard case .text(let text, let weight) = piece, !text.isEmpty else {
                    return String?.none
                }
                return "\(text)@\(weight)"
            }
            return "\(text.factor):\(spelled)"
        }
        return "\(Float(term.weight)) \(texts)"
    }

    @Test func tokensAndHiddenStatesAreCompels() throws {
        var compared = 0
        for row in try cases() {
            guard let encoded = row["states"]?.stringValue else { continue }
            let prompt = try #require(row["prompt"]?.stringValue)
            let compiled = try compile(row)
            let expected = PromptFixtures.floats(base64: encoded)
            let found = PromptFixtures.states(compiled)
            #expect(found.count == expected.count, "\(prompt)")
            guard found.count == expected.count else { continue }
            let scale = expected.reduce(0) { max($0, abs($1)) }
            let error = zip(found, expected).reduce(Float(0)) { max($0, abs($1.0 - $1.1)) }
            #expect(error <= 2e-6 * scale, "\(error) of \(scale): \(prompt)")
            let tokens = (row["tokens"]?.arrayValue ?? []).compactMap(\.intValue)
            let program = try PromptProgram(prompt, syntax: .compel)
            // compel gives the tokens of the first text of each blend.
            if program.compositions[0].terms.allSatisfy({ $0.blend.count == 1 }) {
                let rows = compiled.conditionings[0].chunks.map { compiled.rows[$0.row] }
                let found = rows.flatMap(\.entries).map(PromptFixtures.token)
                #expect(found == tokens, "\(prompt)")
            }
            compared += 1
        }
        #expect(compared > 80)
    }

    @Test(arguments: [
        ("a é.swap(b)", 3), ("(a b).swap(c) d", 5), (#""x y".swap(z)"#, 5),
        (#"("a", "b").blend(1)"#, 16), (#"("a", "b").blend(x, 1)"#, 17),
        (#"("a", "b").blend(1, -1)"#, 15), (#"("a", "b").and(1)"#, 14),
        (#"("a", "b").blend(1, 1) c"#, 23), ("a \u{b}b", 2),
        (String(repeating: "(", count: 300), 201),
        ("a,b (c)" + String(repeating: "9", count: 60), 5),
    ])
    func errorsPointAtTheCharacter(prompt: String, offset: Int) throws {
        let error = #expect(throws: PromptError.self) {
            try PromptProgram(prompt, syntax: .compel)
        }
        guard case .syntax(let found, let message) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(found == offset, "\(message)")
        #expect(!message.isEmpty)
    }

    @Test func whatIsIgnoredIsReported() throws {
        let program = try PromptProgram(#"("a", "b").and() and more"#, syntax: .compel)
        #expect(program.ignoredText == [" and more"])
        let lora = try PromptProgram("useLora(style, 0.5)", syntax: .compel)
        #expect(lora.loras.map(\.name) == ["style"] && lora.loras.map(\.weight) == [0.5])
        let compiled = try PromptCompiler(syntax: .compel, tokenizer: Self.tokenizer)
            .compile("useLora(style, 0.5)")
        #expect(compiled.rows[compiled.conditionings[0].chunks[0].row].endIndex == 1)
    }

    @Test func thePooledVectorIsOfThePromptWithItsSyntax() throws {
        let compiler = try PromptCompiler(syntax: .compel, tokenizer: Self.tokenizer)
        let compiled = try compiler.compile("a (cat)1.5")
        let tokens = try #require(compiled.rows[compiled.conditionings[0].pooledRow].tokens)
        let content = Self.tokenizer.encode("a (cat)1.5")
        #expect(Array(tokens[...(content.count + 1)]) == [49406] + content + [49407])
        let plain = try compiler.compile("a cat")
        #expect(plain.conditionings[0].pooledRow == plain.conditionings[0].chunks[0].row)
    }

    @Test(arguments: ["a (cat)1.5", "a (big cat)0.5", #"("a", "b").blend(1, 2)"#])
    func noRowIsForAPooledVectorThatNobodyWants(prompt: String) throws {
        let with = try PromptCompiler(syntax: .compel, tokenizer: Self.tokenizer).compile(prompt)
        let without = try PromptCompiler(
            syntax: .compel, tokenizer: Self.tokenizer, wantsPooled: false
        ).compile(prompt)
        #expect(without.rows.count == with.rows.count - 1)
        #expect(without.conditionings[0].pooledRow == 0)
        #expect(PromptFixtures.states(without) == PromptFixtures.states(with))
    }

    @Test(arguments: LongPromptPolicy.allCases)
    func hiddenPositionsAreContentAndNeverTheStart(policy: LongPromptPolicy) throws {
        let compiler = try PromptCompiler(
            syntax: .compel, tokenizer: Self.tokenizer, longPrompts: policy)
        let short = try compiler.compile("a (big cat)0.5 here")
        #expect(short.rows.map(\.hiddenPositions).filter { !$0.isEmpty } == [2..<4])
        guard policy != .error else { return }
        let words = (0..<70).map { _ in "cat" }.joined(separator: " ")
        // Cut off, the fragment hides the end token too; in chunks it goes on behind a start.
        let long = try compiler.compile("\(words) (\(words))0.5")
        #expect(
            long.rows.map(\.hiddenPositions).filter { !$0.isEmpty }
                == (policy == .truncate ? [71..<77] : [71..<76, 1..<66]))
    }

    @Test func tooManyDownWeightedFragmentsAreRefused() throws {
        let prompt = String(repeating: "(a)0.5 b ", count: 257)
        #expect(
            throws: PromptError.tooMany(
                what: "fragments of weights below 1", limit: 256, actual: 257)
        ) { try PromptProgram(prompt, syntax: .compel) }
    }
}
