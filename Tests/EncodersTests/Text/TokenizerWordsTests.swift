import Encoders
import JSON
import Testing

/// Words of several vectors in a pipeline's own tokenizer, against diffusers
/// (`Tests/Generators/tokenizer_words.py`).
@Suite struct TokenizerWordsTests {
    private static let cases: [(prompt: String, tokens: [Int32], unexpanded: [Int32])] = {
        let list = (try? TextFixtures.json("words/expected.json"))?.arrayValue ?? []
        func tokens(_ entry: JSONValue, _ name: String) -> [Int32] {
            (entry[name]?.arrayValue ?? []).compactMap(\.intValue).map { Int32($0) }
        }
        return list.map {
            ($0["prompt"]?.stringValue ?? "", tokens($0, "tokens"), tokens($0, "unexpanded"))
        }
    }()

    private func tokenizer() throws -> BytePairTokenizer {
        try BytePairTokenizer.load(
            .directory(TextFixtures.folder + "/words"), cleaning: .transformers)
    }

    @Test func aPipelinesWordStandsForAllOfItsVectors() throws {
        #expect(Self.cases.count == 11)
        let plain = try tokenizer()
        let expanding = plain.expandingWords()
        for entry in Self.cases {
            // Texts that are embedded are transformers' business, which knows nothing of it.
            #expect(plain.encode(entry.prompt) == entry.unexpanded, "\(entry.prompt)")
            #expect(expanding.encode(entry.prompt) == entry.tokens, "\(entry.prompt)")
        }
        #expect(expanding.expandingWords() === expanding)
        let clip = BytePairTokenizer.clip(cleaning: .transformers)
        #expect(clip.expandingWords() === clip)
    }

    @Test func aWordThatIsCutIsNamedWhole() throws {
        let cut = try tokenizer().expandingWords().tokenize(
            "a <cat> on", contextLength: 5, overflow: .truncate)
        #expect(cut.tokens.count == 5)
        #expect(cut.droppedText == "<cat> on")
        let whole = try tokenizer().expandingWords().tokenize(
            "a <cat> on", contextLength: 6, overflow: .truncate)
        #expect(whole.droppedText == "on")
    }
}
