import Encoders

/// Mutates the files of a small tokenizer and loads them: whatever the bytes, the answer is a
/// tokenizer that works or an `EncoderError`, never a trap.
enum TokenizerFuzz {
    /// - Parameters:
    ///   - cases: how many mutants to load.
    ///   - seed: the same seed makes the same mutants.
    /// - Returns: how many mutants were loaded and how many refused with an `EncoderError`.
    /// - Throws: any other error, and those of reading the fixtures.
    static func run(cases: Int, seed: UInt64) throws -> (loaded: Int, refused: Int) {
        let folder = TextFixtures.folder + "/small/"
        let originals = try [
            "tokenizer-pairs/tokenizer.json", "tokenizer-strings/tokenizer.json",
            "plain/vocab.json", "plain/merges.txt", "stable-diffusion-2/special_tokens_map.json",
            "sdxl-second/tokenizer_config.json", "added/added_tokens.json",
        ].map { path in
            (
                name: String(path.split(separator: "/")[1]),
                bytes: try TextFixtures.bytes(folder + path)
            )
        }
        var random = TextRandom(seed: seed)
        var (loaded, refused) = (0, 0)
        for _ in 0..<cases {
            // Half the mutants are of tokenizer.json, the others of the files beside it.
            let isOneFile = Bool.random(using: &random)
            var files: [String: [UInt8]] = [:]
            if isOneFile {
                files["tokenizer.json"] = originals[Int.random(in: 0..<2, using: &random)].bytes
            } else {
                for original in originals[2...] { files[original.name] = original.bytes }
            }
            let victim = files.keys.sorted().randomElement(using: &random) ?? ""
            files[victim] = mutated(files[victim] ?? [], using: &random)
            let cleaning = TextCleaning.allCases[Int.random(in: 0..<2, using: &random)]
            do throws(EncoderError) {
                let tokenizer = try BytePairTokenizer.load(
                    .memory(files, path: "mutant"), cleaning: cleaning)
                let text = "a cat <|endoftext|> ÎÃ© the!" + String(victim.prefix(3))
                let tokens = try tokenizer.tokenize(text, contextLength: 8, overflow: .truncate)
                _ = tokenizer.decode(tokens.tokens + [-1, .max])
                loaded += 1
            } catch {
                refused += 1
            }
        }
        return (loaded, refused)
    }

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
                // Another number in the place of one.
                guard let digit = bytes[index...].firstIndex(where: { (0x30...0x39).contains($0) })
                else { continue }
                let numbers = ["0", "99999999999999999999", "2147483647", "-5", "1.5", "true"]
                bytes.replaceSubrange(
                    digit...digit, with: (numbers.randomElement(using: &random) ?? "").utf8)
            }
        }
        return bytes
    }
}
