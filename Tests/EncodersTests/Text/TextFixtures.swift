import Encoders
import Glibc
import JSON

/// The fixtures of the tokenizer tests, written by `Tests/Generators/tokenizer.py`.
enum TextFixtures {
    static let folder: String = {
        let file = #filePath
        let parts = file.split(separator: "/").dropLast(2)
        return "/" + parts.joined(separator: "/") + "/Fixtures/text"
    }()

    static func bytes(_ path: String) throws -> [UInt8] {
        try MappedBytes.map(path: path).array()
    }

    static func json(_ name: String) throws -> JSONValue {
        try JSONValue.parse(try bytes(folder + "/" + name))
    }

    /// A text and what each library makes of it: tokens, or a digest of them.
    struct Case {
        let text: String
        let expected: [TextCleaning: Expectation]
    }

    enum Expectation: Equatable {
        case tokens([Int32])
        case digest(String)

        func matches(_ tokens: [Int32]) -> Bool {
            switch self {
            case .tokens(let expected): tokens == expected
            case .digest(let expected): TextFixtures.digest(tokens) == expected
            }
        }
    }

    static func cases(_ value: JSONValue) -> [Case] {
        (value.arrayValue ?? []).map { row in
            var expected: [TextCleaning: Expectation] = [:]
            if let digest = row["hd"]?.stringValue, let other = row["od"]?.stringValue {
                expected = [.transformers: .digest(digest), .openCLIP: .digest(other)]
            } else {
                let theirs = tokens(row["h"])
                expected[.transformers] = .tokens(theirs)
                expected[.openCLIP] = .tokens(row["o"].map { tokens($0) } ?? theirs)
            }
            return Case(text: row["t"]?.stringValue ?? "", expected: expected)
        }
    }

    static func tokens(_ value: JSONValue?) -> [Int32] {
        (value?.arrayValue ?? []).compactMap { $0.intValue.map(Int32.init) }
    }

    /// FNV-1a, 64 bits, over the tokens as little-endian 32-bit integers, in hexadecimal.
    static func digest(_ tokens: [Int32]) -> String {
        var value: UInt64 = 0xcbf2_9ce4_8422_2325
        for token in tokens {
            for shift in stride(from: 0, to: 32, by: 8) {
                let byte = UInt64(UInt32(bitPattern: token) >> UInt32(shift) & 0xff)
                value = (value ^ byte) &* 0x100_0000_01b3
            }
        }
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// Scalars as `U+…`, so that a failure shows what cannot be seen.
    static func spelled(_ text: String) -> String {
        text.unicodeScalars.prefix(60).map { scalar in
            (0x21..<0x7f).contains(scalar.value)
                ? String(scalar) : "U+" + String(scalar.value, radix: 16)
        }.joined(separator: " ")
    }
}

/// SplitMix64: a seeded generator, so that a failing case comes again.
struct TextRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}
