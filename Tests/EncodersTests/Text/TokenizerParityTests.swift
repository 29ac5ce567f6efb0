import Encoders
import Glibc
import JSON
import Testing

@Suite struct TokenizerParityTests {
    @Test(arguments: ["corpus.json", "entities.json"], TextCleaning.allCases)
    func givesTheLibrarysTokens(file: String, cleaning: TextCleaning) throws {
        let cases = TextFixtures.cases(try TextFixtures.json(file))
        #expect(cases.count > 350)
        expectEqual(cases, cleaning)
    }

    /// A larger corpus, when there is one (`make parity`).
    @Test(.enabled(if: getenv("TOKENIZER_CORPUS") != nil), arguments: TextCleaning.allCases)
    func givesTheLibrarysTokensOverALargerCorpus(cleaning: TextCleaning) throws {
        let path = try #require(getenv("TOKENIZER_CORPUS").map { String(cString: $0) })
        let cases = TextFixtures.cases(try JSONValue.parse(try TextFixtures.bytes(path)))
        expectEqual(cases, cleaning)
    }

    private func expectEqual(_ cases: [TextFixtures.Case], _ cleaning: TextCleaning) {
        let tokenizer = BytePairTokenizer.clip(cleaning: cleaning)
        var failures = 0
        for item in cases {
            let tokens = tokenizer.encode(item.text)
            guard let expected = item.expected[cleaning], !expected.matches(tokens) else {
                continue
            }
            failures += 1
            if failures <= 25 {
                Issue.record(
                    "\(cleaning) on \(TextFixtures.spelled(item.text)): \(tokens), not \(expected)")
            }
        }
        #expect(failures == 0, "\(failures) of \(cases.count) texts")
    }

    /// Every scalar of Unicode, between letters, between spaces and beside its neighbours.
    @Test(arguments: TextCleaning.allCases)
    func agreesOnEveryScalar(cleaning: TextCleaning) throws {
        let tokenizer = BytePairTokenizer.clip(cleaning: cleaning)
        let prefix = cleaning == .transformers ? "h" : "o"
        let rows = try #require(try TextFixtures.json("sweep.json").arrayValue)
        var seen = 0
        for row in rows {
            let first = try #require(row["from"]?.intValue)
            let scalars = (first..<first + 0x400).compactMap { Unicode.Scalar($0) }
            seen += scalars.count
            for (name, separator) in [("a", "a"), ("space", " "), ("", "")] {
                let text = scalars.map { String($0) }.joined(separator: separator)
                let expected = try #require(row[prefix + name]?.stringValue)
                #expect(
                    TextFixtures.digest(tokenizer.encode(text)) == expected,
                    "scalars from \(String(first, radix: 16)) between \"\(separator)\"")
            }
        }
        #expect(seen == 0x110000 - 0x800)
    }

    @Test(arguments: TextCleaning.allCases)
    func agreesOnLongWords(cleaning: TextCleaning) throws {
        let tokenizer = BytePairTokenizer.clip(cleaning: cleaning)
        for row in try #require(try TextFixtures.json("long-words.json").arrayValue) {
            let unit = try #require(row["unit"]?.stringValue)
            let text = String(repeating: unit, count: try #require(row["times"]?.intValue))
            let expected = row[cleaning == .transformers ? "h" : "o"]?.stringValue
            #expect(TextFixtures.digest(tokenizer.encode(text)) == expected, "\(unit)")
        }
    }

    @Test(arguments: TextCleaning.allCases)
    func decodesAsTheLibrary(cleaning: TextCleaning) throws {
        let tokenizer = BytePairTokenizer.clip(cleaning: cleaning)
        for row in try #require(try TextFixtures.json("decoding.json").arrayValue) {
            let tokens = TextFixtures.tokens(row["ids"])
            let expected = row[cleaning == .transformers ? "h" : "o"]?.stringValue
            let text = tokenizer.decode(tokens)
            // Not by `==` alone, which takes canonically equivalent texts for equal.
            #expect(Array(text.utf8) == Array((expected ?? "").utf8), "\(tokens)")
        }
    }

    /// Ranks in an order that no training gives, where the libraries' loops differ.
    @Test(arguments: TextCleaning.allCases)
    func mergesInTheLibrarysOrder(cleaning: TextCleaning) throws {
        var differing = 0
        for row in try #require(try TextFixtures.json("merge-orders.json").arrayValue) {
            let merges = (row["merges"]?.arrayValue ?? []).compactMap(\.stringValue)
            let vocabulary = try #require(row["vocabulary"])
            let tokenizer = try BytePairTokenizer.parse(
                vocabulary: Array(vocabulary.text().utf8),
                merges: Array(merges.joined(separator: "\n").utf8), path: "test",
                cleaning: cleaning)
            for item in row["cases"]?.arrayValue ?? [] {
                let text = try #require(item["t"]?.stringValue)
                let expected = TextFixtures.tokens(item[cleaning == .transformers ? "h" : "o"])
                #expect(tokenizer.encode(text) == expected, "\(text)")
                if item["h"] != item["o"] { differing += 1 }
            }
        }
        // Otherwise the two orders would not be told apart here.
        #expect(differing > 0)
    }
}
