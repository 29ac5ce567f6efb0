import Encoders
import Testing

@Suite struct TokenizeTests {
    private let tokenizer = BytePairTokenizer.clip(cleaning: .transformers)

    @Test func framesTheContentWithStartAndEnd() throws {
        let result = try tokenizer.tokenize(
            "A  photo of a cat", contextLength: 77, overflow: .error)
        #expect(result.tokens == [49406, 320, 1125, 539, 320, 2368, 49407])
        #expect(result.endIndex == 6)
        #expect(result.droppedTokens == 0)
        #expect(result.droppedText.isEmpty)
    }

    @Test(arguments: TextCleaning.allCases)
    func theEmptyTextIsStartAndEnd(cleaning: TextCleaning) throws {
        let tokenizer = BytePairTokenizer.clip(cleaning: cleaning)
        for text in ["", "  \n", "\u{3000}\u{a0}"] {
            let result = try tokenizer.tokenize(text, contextLength: 2, overflow: .error)
            #expect(result.tokens == [49406, 49407])
        }
    }

    @Test func aTextThatFitsExactlyIsKept() throws {
        let result = try tokenizer.tokenize("a b c", contextLength: 5, overflow: .error)
        #expect(result.tokens.count == 5)
        #expect(throws: EncoderError.promptTooLong(tokens: 6, limit: 5, excess: "d")) {
            try tokenizer.tokenize("a b c d", contextLength: 5, overflow: .error)
        }
    }

    @Test func truncationKeepsTheBeginningAndSaysWhatWasDropped() throws {
        let text = "One two THREE  four, five"
        let result = try tokenizer.tokenize(text, contextLength: 5, overflow: .truncate)
        #expect(result.tokens == [49406, 637, 1237, 2097, 49407])
        #expect(result.droppedTokens == 3)
        #expect(result.droppedText == "four, five")
        #expect(result.endIndex == 4)
        let bare = try tokenizer.tokenize(text, contextLength: 2, overflow: .truncate)
        #expect(bare.droppedText == "one two three four, five")
    }

    @Test func theExcessBeginsInsideAWordOrAtTheCharacterThatWasCut() throws {
        // Three tokens of "supercalifragilistic…"; what is kept and what is dropped join up.
        let word = "pneumonoultramicroscopicsilicovolcanoconiosis"
        let result = try tokenizer.tokenize(word, contextLength: 5, overflow: .truncate)
        let kept = tokenizer.decode(result.tokens, skippingSpecial: true)
        #expect(kept + result.droppedText == word)
        // A character of several tokens that is cut in its middle is dropped as a whole.
        let rare = try tokenizer.tokenize("\u{10ffff}b", contextLength: 4, overflow: .truncate)
        #expect(rare.droppedText == "\u{10ffff}b")
    }

    @Test func theEndTokenInTheTextIsPooled() throws {
        let result = try tokenizer.tokenize(
            "a <|endoftext|> b", contextLength: 77, overflow: .error)
        #expect(result.tokens == [49406, 320, 49407, 321, 49407])
        #expect(result.endIndex == 2)
        let other = BytePairTokenizer.clip(cleaning: .openCLIP)
        #expect(other.encode("a <end_of_text> b") == [320, 49407, 321])
        #expect(!other.encode("a <|endoftext|> b").contains(49407))
        #expect(!tokenizer.encode("a <end_of_text> b").contains(49407))
    }

    @Test func droppedTextCountsTheTokensInTheText() throws {
        let result = try tokenizer.tokenize(
            "é<|endoftext|>x Y", contextLength: 4, overflow: .truncate)
        #expect(result.droppedText == "x y")
        let other = BytePairTokenizer.clip(cleaning: .openCLIP)
        let cut = try other.tokenize("é <end_of_text>x Y", contextLength: 4, overflow: .truncate)
        #expect(cut.droppedText == "x y")
    }

    @Test(arguments: [1, 0, -1, Int.min])
    func aContextOfLessThanTwoIsRefused(length: Int) {
        #expect(throws: EncoderError.self) {
            try tokenizer.tokenize("a", contextLength: length, overflow: .truncate)
        }
    }

    @Test func specialTokensCanBeLeftOutOfDecodedText() {
        #expect(tokenizer.decode([49406, 320, 2368, 49407], skippingSpecial: true) == "a cat")
        #expect(tokenizer.decode([-1, 49408, .max, 320]) == "a")
    }

    /// Text of kinds that defeat a loop that is not linear.
    @Test(
        .timeLimit(.minutes(2)),
        arguments: [
            "a", "a cat ", "日本", "\u{301}\u{316}", "é", "'s", "<|endoftext|>", "\u{1b}[", "Ã©",
            "&amp;", "&", "ÃƒÂ©", "Σ'", "ﷺ", "😀", "\r", "в", "Ã ", "<", "\u{1100}\u{1161}",
        ], TextCleaning.allCases)
    func hugeTextsOfOneKindEnd(unit: String, cleaning: TextCleaning) throws {
        let tokenizer = BytePairTokenizer.clip(cleaning: cleaning)
        // Well under a second on a free machine; a quadratic loop would need hours, so the time
        // limit tells the two apart on any machine.
        let count = (unit == "a" || unit == "a cat " ? 1_000_000 : 200_000) / unit.count
        let text = String(repeating: unit, count: count)
        let tokens = tokenizer.encode(text)
        #expect(tokens.allSatisfy { $0 >= 0 && $0 < tokenizer.vocabularySize })
    }

    /// ftfy would repeat its steps 300,000 times here; we stop early and say so in the documentation.
    @Test(.timeLimit(.minutes(2)))
    func referencesEscapedEndlesslyAreGivenUp() {
        let tokenizer = BytePairTokenizer.clip(cleaning: .openCLIP)
        let some = "&" + String(repeating: "amp;", count: 2_000) + "lt;"
        #expect(tokenizer.encode(some) == [283])
        let many = "&" + String(repeating: "amp;", count: 250_000) + "lt;"
        #expect(tokenizer.encode(many).count > 100_000)
    }
}
