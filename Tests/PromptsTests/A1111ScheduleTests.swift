import Guidance
import JSON
import Prompts
import Testing

@Suite struct A1111ScheduleTests {
    /// `until: text` of each segment of a prompt of one part, of 10 steps.
    private func schedule(_ prompt: String, steps: Int = 10) throws -> [String] {
        let program = try PromptProgram(prompt, syntax: .a1111, steps: steps, isNegative: true)
        return program.segments.map { segment in
            let parts = segment.parts.map { program.compositions[$0.composition].text }
            return "\(segment.untilStep ?? 0): \(parts.joined(separator: " & "))"
        }
    }

    /// Worked out by hand from the rules.
    @Test(
        arguments: [
            ("test", ["10: test"]),
            ("", ["10: "]),
            ("a [b:3]", ["3: a ", "10: a b"]),
            ("a [b: 3 ]", ["3: a ", "10: a b"]),
            ("a [b::3]", ["3: a b", "10: a "]),
            ("a [:b:3]", ["3: a ", "10: a b"]),
            ("[a:b:0.25]", ["2: a", "10: b"]),
            ("[a:b:.29]", ["2: a", "10: b"]),
            ("[a:b:1.0]", ["10: a"]),
            ("[a:b:1]", ["1: a", "10: b"]),
            ("[a:b:0]", ["10: b"]),
            ("[a:b:-3]", ["10: b"]),
            ("[a:b:0.05]", ["10: b"]),
            ("[a:b:99]", ["10: a"]),
            ("[a:b:1e0]", ["1: a", "10: b"]),
            ("[a:[b:c:7]:3]", ["3: a", "7: b", "10: c"]),
            ("[[a:b:7]:c:3]", ["3: a", "10: c"]),
            ("[a (x:1.2):b [y]:5]", ["5: a (x:1.2)", "10: b [y]"]),
            ("[[[b]]:2]", ["2: ", "10: [[b]]"]),
            ("[a|b]", (1...10).map { "\($0): \($0 % 2 == 1 ? "a" : "b")" }),
            ("[a|b||c]", (1...10).map { "\($0): \(["a", "b", "", "c"][($0 - 1) % 4])" }),
            ("[a|a]", ["10: a"]),
            ("[|]", ["10: "]),
            // Not schedules:
            ("[a]", ["10: [a]"]),
            ("(a:1.3)", ["10: (a:1.3)"]),
            ("[a:b]", ["10: [a:b]"]),
            ("[a:b:c]", ["10: [a:b:c]"]),
            ("[a:b:c:3]", ["10: [a:b:c:3]"]),
            ("[a:3", ["10: [a:3"]),
            ("[3]", ["10: [3]"]),
            (#"\[a:b:3\]"#, [#"10: \[a:b:3\]"#]),
            (#"[\]:b:3]"#, [#"3: \]"#, "10: b"]),
            ("[a:b:3e]", ["10: [a:b:3e]"]),
            ("[a:(b:c:d):3]", ["10: [a:(b:c:d):3]"]),
            // A bar without square brackets, or a backslash at an end, and nothing is one.
            ("a|b [c:3]", ["10: a|b [c:3]"]),
            ("(a|b) [c:3]", ["10: (a|b) [c:3]"]),
            ("[a|b:3] [c:3]", ["10: [a|b:3] [c:3]"]),
            (#"[c:3] \"#, [#"10: [c:3] \"#]),
            // Stray brackets and colons around one:
            ("a) b: [c:3]", ["3: a) b: ", "10: a) b: c"]),
            ("((a][:b:c [d:3]", ["3: ((a][:b:c ", "10: ((a][:b:c d"]),
            ("(a [b:3]", ["3: (a ", "10: (a b"]),
        ] as [(String, [String])])
    func texts(prompt: String, expected: [String]) throws {
        #expect(try schedule(prompt) == expected)
    }

    @Test func anotherReadingOfTheRulesAgrees() throws {
        var changing = 0
        for row in try PromptFixtures.cases("schedules.json") {
            let prompt = try #require(row["prompt"]?.stringValue)
            let texts = (row["texts"]?.arrayValue ?? []).map { $0.arrayValue ?? [] }
            let expected = texts.map {
                "\($0[0].intValue ?? 0): \($0[1].stringValue ?? "")"
            }
            let steps = try #require(row["steps"]?.intValue)
            #expect(try schedule(prompt, steps: steps) == expected, "\(prompt)")
            changing += expected.count > 1 ? 1 : 0
        }
        #expect(changing > 100)
    }

    /// Until which step, and the weight and the text of each part.
    private func parts(_ prompt: String) throws -> [String] {
        let program = try PromptProgram(prompt, syntax: .a1111, steps: 10)
        return program.segments.map { segment in
            let parts = segment.parts.map {
                "\($0.weight)*\(program.compositions[$0.composition].text)"
            }
            return "\(segment.untilStep ?? 0): \(parts.joined(separator: " & "))"
        }
    }

    @Test(
        arguments: [
            ("a cat", ["10: 1.0*a cat"]),
            (
                "a cat :1.2 AND a dog:0.8 AND bird",
                ["10: 1.2*a cat & 0.8* a dog & 1.0* bird"]
            ),
            ("a AND b : -1.5 ", ["10: 1.0*a & -1.5* b"]),
            ("a :.5AND b", ["10: 1.0*a :.5AND b"]),
            ("10:30", ["10: 30.0*10"]),
            ("(a:1.3)", ["10: 1.0*(a:1.3)"]),
            ("a: 1.2.3", ["10: 1.0*a: 1.2.3"]),
            ("a::3.", ["10: 3.0*a:"]),
            ("a:+-3", ["10: 1.0*a:+-3"]),
            ("ANDY SAND AND", ["10: 1.0*ANDY SAND & 1.0*"]),
            ("x_AND b", ["10: 1.0*x_AND b"]),
            (
                "[a:b:3] AND [c:d:5]:2",
                ["3: 1.0*a & 2.0* c", "5: 1.0*b & 2.0* c", "10: 1.0*b & 2.0* d"]
            ),
            // `AND` goes first, also between brackets.
            ("[a AND b:3]", ["10: 1.0*[a & 1.0* b:3]"]),
        ] as [(String, [String])])
    func conjunctions(prompt: String, expected: [String]) throws {
        #expect(try parts(prompt) == expected)
    }

    @Test func lorasAreNoText() throws {
        let prompt =
            "a <lora:x y:0.5>cat<lora:z> AND <lyco:q:2:0.1:dyn=4> b <lora:r:1:te=.25> <hypernet:h:1> <3:"
        let program = try PromptProgram(prompt, syntax: .a1111)
        #expect(program.compositions.map(\.text) == ["a cat", "  b   <3:"])
        #expect(program.loras.map(\.name) == ["x y", "z", "q", "r"])
        #expect(program.loras.map(\.weight) == [0.5, 1, 2, 0.25])
        #expect(program.loras.map(\.offset) == [2, 19, 32, 55])
        #expect(program.ignoredText == ["<hypernet:h:1>"])
        let negative = try PromptProgram("<lora:x:1>", syntax: .a1111, isNegative: true)
        #expect(negative.loras.isEmpty && negative.compositions[0].text == "<lora:x:1>")
        let compiled = try PromptCompiler(syntax: .a1111, tokenizer: PromptFixtures.tokenizer)
            .compile(program)
        #expect(compiled.loras == program.loras && compiled.ignoredText == ["<hypernet:h:1>"])
    }

    @Test func negativePromptsKnowNoAnd() throws {
        #expect(try schedule("a AND b:3") == ["10: a AND b:3"])
    }

    @Test func textsOfEqualSpellingAreShared() throws {
        let program = try PromptProgram("[a|b] AND a", syntax: .a1111, steps: 1000)
        #expect(program.segments.count == 1000)
        #expect(program.compositions.map(\.text) == ["a", " a", "b"])
    }

    @Test func stepsAreNeededAndBounded() throws {
        let plain = try PromptProgram("a (b:1.2)", syntax: .a1111)
        #expect(plain.segments.map(\.untilStep) == [nil])
        #expect(
            throws: PromptError.syntax(
                offset: 2, message: "a prompt that changes with the steps needs their number")
        ) { try PromptProgram("a [b|c]", syntax: .a1111) }
        for steps in [0, -1, 1001] {
            #expect(throws: PromptError.steps(steps)) {
                try PromptProgram("a", syntax: .a1111, steps: steps)
            }
        }
        let long = String(repeating: "a", count: 20_000)
        #expect(
            throws: PromptError.tooMany(
                what: "characters in the texts of all steps", limit: 16 << 20, actual: 16_780_839)
        ) { try PromptProgram(long + "[b|c]", syntax: .a1111, steps: 1000) }
    }

    @Test(arguments: [
        ("ab [c:d:1e999]", 8), ("x AND (y:1.2.3)", 9), ("[a:(x:1.2.3):2]", 6),
        ("a AND b:" + String(repeating: "9", count: 60), 8),
        (String(repeating: "[", count: 201), 200), ("é <lora:x:a>", 10), ("<lora::1>", 0),
        ("<lora:x:1:te=1e99>(", 13), ("<lora:x> (y:1.2.3)", 12),
    ])
    func errorsPointAtTheCharacterOfThePrompt(prompt: String, offset: Int) throws {
        let error = #expect(throws: PromptError.self) {
            try PromptProgram(prompt, syntax: .a1111, steps: 10)
        }
        guard case .syntax(let found, let message) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(found == offset, "\(message)")
    }
}
