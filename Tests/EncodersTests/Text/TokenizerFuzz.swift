import Encoders

/// Mutates the files of a small tokenizer and loads them: whatever the bytes, the answer is a
/// tokenizer that works or an `EncoderError`, never a trap.
enum TokenizerFuzz {
    /// - Parameters:
    ///   - cases: how many mutants to load.
    ///   - seed: the same seed makes the same mutants.
    /// - Returns: how many mutants were loaded and how many refused with an `EncoderError`.
    static func run(cases: Int, seed: UInt64) -> (loaded: Int, refused: Int) {
        var random = TextRandom(seed: seed)
        var (loaded, refused) = (0, 0)
        for _ in 0..<cases {
            let originals = [oneFileOfStrings, oneFileOfPairs, severalFiles]
            var files = originals[Int.random(in: 0..<3, using: &random)].mapValues {
                Array($0.utf8)
            }
            let victim = files.keys.sorted().randomElement(using: &random) ?? ""
            files[victim] = mutated(files[victim] ?? [], using: &random)
            let cleaning = TextCleaning.allCases[Int.random(in: 0..<2, using: &random)]
            do throws(EncoderError) {
                let tokenizer = try BytePairTokenizer.load(
                    .memory(files, path: "mutant"), cleaning: cleaning)
                let text = "a cab <|endoftext|> bÃ© abcabc!" + String(victim.prefix(3))
                let tokens = try tokenizer.tokenize(text, contextLength: 8, overflow: .truncate)
                _ = tokenizer.decode(tokens.tokens + [-1, .max])
                loaded += 1
            } catch {
                refused += 1
            }
        }
        return (loaded, refused)
    }

    /// Few bytes have tokens, so that the files are small; the others are the unknown token.
    private static let vocabulary = """
        {"a":0,"b":1,"c":2,"a</w>":3,"b</w>":4,"c</w>":5,"ab":6,"ab</w>":7,"ca":8,"cab</w>":9,\
        "Ã":10,"!":11,"!</w>":12,"<|startoftext|>":13,"<|endoftext|>":14}
        """
    private static let added = """
        {"id":13,"content":"<|startoftext|>","single_word":false,"lstrip":false,"rstrip":true,\
        "normalized":true,"special":true}
        """

    private static func tokenizer(merges: String) -> String {
        """
        {"version":"1.0","padding":{"pad_token":"!"},"added_tokens":[\(added),{"id":15,"content":\
        "<lo>","special":false}],"model":{"type":"BPE","dropout":null,"unk_token":"<|endoftext|>",\
        "continuing_subword_prefix":"","end_of_word_suffix":"</w>","vocab":\(vocabulary),\
        "merges":\(merges)}}
        """
    }

    private static let oneFileOfStrings = [
        "tokenizer.json": tokenizer(merges: #"["a b","a b</w>","c a","ca b</w>"]"#)
    ]
    private static let oneFileOfPairs = [
        "tokenizer.json": tokenizer(merges: #"[["a","b"],["a","b</w>"],["c","a"],["ca","b</w>"]]"#),
        "tokenizer_config.json": """
        {"bos_token":"<|startoftext|>","pad_token":{"content":"!","lstrip":true},\
        "added_tokens_decoder":{"13":\(added),"14":{"content":"<|endoftext|>"}}}
        """,
    ]
    private static let severalFiles = [
        "vocab.json": vocabulary,
        "merges.txt": "#version: 0.2\na b\na b</w>\nc a\nca b</w>\n",
        "special_tokens_map.json": """
        {"pad_token":"!","unk_token":{"content":"<|endoftext|>","normalized":true}}
        """,
        "added_tokens.json": #"{"<lo>":15,"<hi>":16}"#,
    ]

    static func mutated(_ bytes: [UInt8], using random: inout TextRandom) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            guard !bytes.isEmpty else { return [UInt8.random(in: 0...255, using: &random)] }
            let index = Int.random(in: 0..<bytes.count, using: &random)
            let length = min(bytes.count - index, Int.random(in: 1...40, using: &random))
            switch Int.random(in: 0..<9, using: &random) {
            case 0: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes[index] = UInt8.random(in: 0...255, using: &random)
            case 2: bytes.remove(at: index)
            case 3: bytes.insert(UInt8.random(in: 0...255, using: &random), at: index)
            case 4: bytes.removeSubrange(index..<(index + length))
            case 5: bytes.insert(contentsOf: bytes[index..<(index + length)], at: index)
            case 6: bytes.removeSubrange(index...)
            case 7:
                let pieces = ["{", "}", "[", "]", "\"", ":", ",", "null", "-1", "1e9", "\\u0000"]
                bytes.insert(
                    contentsOf: (pieces.randomElement(using: &random) ?? "").utf8, at: index)
            default:
                // Another number in the place of a digit.
                guard let digit = bytes[index...].firstIndex(where: { (0x30...0x39).contains($0) })
                else { continue }
                let numbers = [
                    "0", "99999999999999999999", "2147483646", "-5", "1.5", "true", "77",
                ]
                bytes.replaceSubrange(
                    digit...digit, with: (numbers.randomElement(using: &random) ?? "").utf8)
            }
        }
        return bytes
    }
}
