import Encoders
import Testing

@Suite struct PieceEncoderTests {
    private static let parts = [
        "cat", "Red DOG", "it's", "42", "(", ")", ",.", " ", "\t", "\u{b}\r\n", "\u{1c}", "\0",
        "\u{7f}",
        "<|endoftext|>", "<|startoftext|>", "<start_of_text>", "</w>", "!", "İΣ", "e\u{301}", "ſ",
        "한국",
        "🦊", "\u{3000}", "&amp;", "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
    ]

    private func texts(seed: UInt64, ascii: Bool) -> [String] {
        var random = SeededGenerator(seed: seed)
        let parts = ascii ? Self.parts.filter { $0.utf8.allSatisfy { $0 < 0x80 } } : Self.parts
        return (0..<2_000).map { _ in
            (0..<Int.random(in: 0...6, using: &random)).map { _ in
                parts[Int.random(in: parts.indices, using: &random)]
            }.joined()
        }
    }

    @Test(arguments: TextCleaning.allCases)
    func oneTextLeavesNothingToTheNext(cleaning: TextCleaning) {
        let tokenizer = BytePairTokenizer.clip(cleaning: cleaning)
        var encoder = PieceEncoder(tokenizer)
        for text in texts(seed: 41, ascii: false) {
            #expect(
                encoder.encode(text) == tokenizer.encode(text), "seed 41, \(text.debugDescription)")
        }
    }

    /// A word that is not ASCII, behind white space, sends the same text the long way.
    @Test(arguments: TextCleaning.allCases)
    func textOfASCIIReadsAsOtherTextDoes(cleaning: TextCleaning) {
        let tokenizer = BytePairTokenizer.clip(cleaning: cleaning)
        let word = tokenizer.encode("\u{e9}")
        #expect(word.isEmpty == false)
        for text in texts(seed: 42, ascii: true) {
            #expect(
                tokenizer.encode(text + " \u{e9}") == tokenizer.encode(text) + word,
                "seed 42, \(text.debugDescription)")
        }
    }
}
