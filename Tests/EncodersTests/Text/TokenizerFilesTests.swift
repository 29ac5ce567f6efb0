import Encoders
import JSON
import Testing

@Suite struct TokenizerFilesTests {
    /// Directories as they are found, with what `CLIPTokenizer.from_pretrained` makes of them.
    @Test(arguments: [
        "plain", "stable-diffusion-2", "sdxl-second", "tokenizer-strings", "tokenizer-pairs",
        "added", "additional", "unknown-bytes",
    ])
    func loadsLikeTransformers(name: String) throws {
        let path = TextFixtures.folder + "/small/" + name
        let expected = try TextFixtures.json("small/\(name)/expected.json")
        let tokenizer = try BytePairTokenizer.load(.directory(path), cleaning: .transformers)
        #expect(tokenizer.startToken == expected["start"]?.intValue.map(Int32.init))
        #expect(tokenizer.endToken == expected["end"]?.intValue.map(Int32.init))
        #expect(tokenizer.padToken == expected["pad"]?.intValue.map(Int32.init))
        #expect(tokenizer.path == path)
        for item in try #require(expected["cases"]?.arrayValue) {
            let text = try #require(item["t"]?.stringValue)
            #expect(tokenizer.encode(text) == TextFixtures.tokens(item["h"]), "\(text)")
        }
    }

    @Test func theTwoFormsOfTheSameFilesAgree() throws {
        let folder = TextFixtures.folder + "/small/"
        let files = try BytePairTokenizer.parse(
            vocabulary: TextFixtures.bytes(folder + "plain/vocab.json"),
            merges: TextFixtures.bytes(folder + "plain/merges.txt"), path: "plain",
            cleaning: .openCLIP)
        let one = try BytePairTokenizer.parse(
            tokenizerJSON: TextFixtures.bytes(folder + "tokenizer-strings/tokenizer.json"),
            path: "strings", cleaning: .openCLIP)
        let other = try BytePairTokenizer.parse(
            tokenizerJSON: TextFixtures.bytes(folder + "tokenizer-pairs/tokenizer.json"),
            path: "pairs", cleaning: .openCLIP)
        for text in ["the cat", "<start_of_text>x<end_of_text>", "ÎÃ©", "<lo>", "a<|endoftext|>"] {
            #expect(files.encode(text) == one.encode(text))
            #expect(files.encode(text) == other.encode(text))
        }
        #expect(files.vocabularySize == one.vocabularySize)
        #expect(other.vocabularySize == one.vocabularySize + 3)
    }

    @Test func aCheckpointWithoutVocabularyGetsCLIPsOwn() throws {
        let files = CheckpointFiles.memory(["config.json": Array("{}".utf8)], path: "bare")
        let tokenizer = try BytePairTokenizer.load(files, cleaning: .transformers)
        #expect(tokenizer.path == BytePairTokenizer.builtInPath)
        #expect(tokenizer.vocabularySize == 49408)
        #expect(tokenizer.startToken == 49406)
        #expect(tokenizer.endToken == 49407)
        #expect(tokenizer.padToken == 49407)
    }

    @Test func namesOfOpenCLIPAreFoundInFiles() throws {
        var files = try smallFiles()
        files["vocab.json"] = Array(
            String(decoding: files["vocab.json"] ?? [], as: UTF8.self)
                .replacing("<|startoftext|>", with: "<start_of_text>")
                .replacing("<|endoftext|>", with: "<end_of_text>").utf8)
        let tokenizer = try BytePairTokenizer.load(
            .memory(files, path: "renamed"), cleaning: .openCLIP)
        let plain = try BytePairTokenizer.load(
            .memory(try smallFiles(), path: "plain"), cleaning: .openCLIP)
        #expect(tokenizer.startToken == plain.startToken)
        #expect(tokenizer.encode("a <end_of_text> b") == plain.encode("a <end_of_text> b"))
        #expect(tokenizer.encode("<end_of_text>") == [tokenizer.endToken])
    }

    private func smallFiles() throws -> [String: [UInt8]] {
        let folder = TextFixtures.folder + "/small/plain/"
        return [
            "vocab.json": try TextFixtures.bytes(folder + "vocab.json"),
            "merges.txt": try TextFixtures.bytes(folder + "merges.txt"),
        ]
    }

    struct Damage: Sendable, CustomTestStringConvertible {
        let file: String
        let content: String?
        /// What the message has to say.
        let says: String
        var testDescription: String {
            "\(file): \((content ?? "removed").debugDescription.prefix(60))"
        }
    }

    @Test(arguments: [
        Damage(file: "merges.txt", content: nil, says: "merges.txt: is missing"),
        Damage(file: "vocab.json", content: nil, says: "vocab.json: is missing"),
        Damage(file: "vocab.json", content: "", says: "vocab.json, byte 0: expected a value"),
        Damage(file: "vocab.json", content: "[1,2]", says: "expected the vocabulary as an object"),
        Damage(file: "vocab.json", content: "{}", says: "found no tokens"),
        Damage(file: "vocab.json", content: "{\"a\":0,\"b\":0}", says: "each token number once"),
        Damage(file: "vocab.json", content: "{\"a\":-1}", says: "found -1"),
        Damage(file: "vocab.json", content: "{\"a\":2147483647}", says: "found 2147483647"),
        Damage(file: "vocab.json", content: "{\"a\":1.5}", says: "token \"a\""),
        Damage(file: "vocab.json", content: "{\"a\":\"1\"}", says: "found a string"),
        Damage(file: "vocab.json", content: "{\"a\":0} x", says: "byte 8"),
        Damage(file: "vocab.json", content: "{\"a\":0}", says: "merge 0"),
        Damage(file: "merges.txt", content: "#version: 0.2\na b c\n", says: "byte 14"),
        Damage(file: "merges.txt", content: "a b\n\nb c\n", says: "byte 4"),
        Damage(file: "merges.txt", content: "ab\n", says: "found \"ab\""),
        Damage(file: "merges.txt", content: " b\n", says: "expected a merge"),
        Damage(file: "merges.txt", content: "a \u{1}\n", says: "merge 0"),
        Damage(file: "merges.txt", content: "qqq zzz\n", says: "merge 0 and the whole"),
        Damage(file: "tokenizer.json", content: "{}", says: "an object with a \"model\""),
        Damage(file: "tokenizer.json", content: "[]", says: "found an array"),
        Damage(file: "tokenizer.json", content: "{\"model\":3}", says: "found a number"),
        Damage(
            file: "tokenizer.json", content: "{\"model\":{\"type\":\"Unigram\"}}",
            says: "model.type"),
        Damage(
            file: "tokenizer.json", content: "{\"model\":{\"type\":\"BPE\"}}",
            says: "model.end_of_word_suffix"),
        Damage(
            file: "tokenizer.json", content: "{\"model\":{\"end_of_word_suffix\":\"</w>\"}}",
            says: "model.vocab"),
        Damage(
            file: "tokenizer.json",
            content: "{\"model\":{\"end_of_word_suffix\":\"</w>\",\"vocab\":{\"a\":0}}}",
            says: "model.merges"),
        Damage(
            file: "tokenizer.json",
            content: """
                {"model":{"end_of_word_suffix":"</w>","vocab":{"a":0},"merges":[["a"]]}}
                """,
            says: "model.merges[0]"),
        Damage(
            file: "tokenizer.json",
            content: """
                {"model":{"end_of_word_suffix":"</w>","vocab":{"a":0},"merges":[]}}
                """,
            says: "bos_token"),
        Damage(
            file: "tokenizer.json",
            content: """
                {"model":{"end_of_word_suffix":"</w>","vocab":{"a":0},"merges":[]},
                "added_tokens":[{"id":1}]}
                """,
            says: "added_tokens[0].content"),
        Damage(
            file: "tokenizer.json",
            content: """
                {"model":{"end_of_word_suffix":"</w>","vocab":{"a":0},"merges":[]},
                "added_tokens":[{"id":1,"content":"x","single_word":true}]}
                """,
            says: "single_word"),
        Damage(file: "special_tokens_map.json", content: "3", says: "special_tokens_map.json"),
        Damage(
            file: "special_tokens_map.json", content: "{\"eos_token\":\"<nothing>\"}",
            says: "eos_token"),
        Damage(
            file: "special_tokens_map.json", content: "{\"pad_token\":{\"x\":1}}",
            says: "pad_token.content"),
        Damage(
            file: "tokenizer_config.json", content: "{\"added_tokens_decoder\":{\"x\":{}}}",
            says: "added_tokens_decoder.x"),
        Damage(file: "added_tokens.json", content: "[]", says: "added_tokens.json"),
        Damage(file: "added_tokens.json", content: "{\"x\":-3}", says: "found -3"),
    ])
    func damagedFilesAreRefusedByName(damage: Damage) throws {
        var files = try smallFiles()
        files[damage.file] = damage.content.map { Array($0.utf8) }
        #expect {
            _ = try BytePairTokenizer.load(.memory(files, path: "damaged"), cleaning: .openCLIP)
        } throws: { error in
            guard error is EncoderError else { return false }
            let message = "\(error)"
            return message.contains(damage.says) && message.contains("damaged")
        }
    }

    @Test(.enabled(if: !CheckpointFiles.embeddedDefault.names.isEmpty))
    func theTokenizerOfTheEmbeddedModelLoads() throws {
        let tokenizer = try BytePairTokenizer.load(.embeddedDefault, cleaning: .transformers)
        #expect(tokenizer.path == "embedded:default")
        #expect(tokenizer.vocabularySize > 512)
        let tokens = tokenizer.encode("A red circle above a small green star, 日本")
        #expect(tokenizer.decode(tokens) == "a red circle above a small green star , 日本")
    }

    @Test func mutatedFilesNeverCrash() {
        let outcome = TokenizerFuzz.run(cases: 24_000, seed: 7)
        #expect(outcome.refused > 4_000)
        #expect(outcome.loaded > 2_000)
    }
}
