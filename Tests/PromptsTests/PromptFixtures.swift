import Encoders
import Glibc
import Guidance
import JSON
import Prompts

/// The fixtures of the prompt languages, and an encoder that is a formula.
enum PromptFixtures {
    static let tokenizer = BytePairTokenizer.clip(cleaning: .transformers)

    static func cases(_ name: String) throws -> [JSONValue] {
        let parts = #filePath.split(separator: "/").dropLast(1)
        return try cases(path: "/" + parts.joined(separator: "/") + "/Fixtures/" + name)
    }

    static func cases(path: String) throws -> [JSONValue] {
        guard let file = fopen(path, "rb") else { throw Missing(path: path) }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while case let count = fread(&buffer, 1, buffer.count, file), count > 0 {
            bytes += buffer[..<count]
        }
        return try JSONValue.parse(bytes).arrayValue ?? []
    }

    struct Missing: Error { let path: String }

    /// How many random prompts a dialect is tried with: PROMPT_FUZZ, or 10,000.
    static var fuzzCount: Int {
        getenv("PROMPT_FUZZ").flatMap { Int(String(cString: $0)) } ?? 10_000
    }

    /// The hidden states that `Tests/Generators/compel_prompts.py` gives a row, [T, 2]: at position
    /// p the mean of a hash of the visible tokens and positions up to p.
    static func encode(_ row: TokenRow) -> [Float] {
        var sums = [0.0, 0.0]
        var count = 0
        var states: [Float] = []
        for (position, entry) in row.entries.enumerated() {
            if !row.hiddenPositions.contains(position) {
                count += 1
                for feature in 0..<2 {
                    let hash =
                        (token(entry) * (13 + 2 * feature) + 7 * position + 3 * feature) % 127
                    sums[feature] += Double(hash) / 127
                }
            }
            states += sums.map { Float($0 / Double(max(1, count))) }
        }
        return states
    }

    /// A token; vectors of textual inversions are numbered behind the vocabulary: first three of
    /// one, then the others.
    static func token(_ entry: TokenEntry) -> Int {
        switch entry {
        case .token(let token): Int(token)
        case .embedding(let name, let vector): name == "one" ? 49411 : 49408 + vector
        }
    }

    /// The hidden states of a conditioning, by that encoder.
    static func states(_ compiled: CompiledPrompt, of index: Int = 0) -> [Float] {
        compiled.hiddenStates(of: index, from: compiled.rows.map(encode))
    }

    /// Little-endian single-precision numbers in base64.
    static func floats(base64: String) -> [Float] {
        var bits: UInt32 = 0
        var count = 0
        var bytes: [UInt8] = []
        for byte in base64.utf8 {
            let value: UInt8
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = byte - UInt8(ascii: "A")
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = byte - UInt8(ascii: "a") + 26
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = byte - UInt8(ascii: "0") + 52
            case UInt8(ascii: "+"): value = 62
            case UInt8(ascii: "/"): value = 63
            default: continue
            }
            bits = bits << 6 | UInt32(value)
            count += 6
            if count >= 8 {
                count -= 8
                bytes.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
            }
        }
        return stride(from: 0, to: bytes.count - 3, by: 4).map { start in
            let pattern = (0..<4).reduce(UInt32(0)) {
                $0 | UInt32(bytes[start + $1]) << UInt32(8 * $1)
            }
            return Float(bitPattern: pattern)
        }
    }
}

/// The pieces of a prompt that is one text.
func pieces(_ prompt: String, _ syntax: PromptSyntax) throws -> [PromptPiece] {
    let program = try PromptProgram(prompt, syntax: syntax, steps: 10, isNegative: true)
    return program.compositions[0].terms[0].blend[0].pieces
}

/// A small seeded generator (SplitMix64), so that a failure can be repeated.
struct SplitMix64: RandomNumberGenerator {
    var state: UInt64
    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }
}
