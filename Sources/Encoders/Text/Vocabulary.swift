/// Tokens of a byte-level byte-pair vocabulary, their bytes, and the merges between them.
///
/// Tokens are spelled in a printable alphabet, one character a byte (as in GPT-2); those that end a
/// word carry `</w>`.
struct Vocabulary: Sendable {
    static let endOfWord = Array("</w>".utf8)

    /// The printable character of each byte.
    static let byteSymbols: [UInt32] = {
        var symbols = [UInt32](repeating: 0, count: 256)
        var free: UInt32 = 256
        for byte in UInt32(0)..<256 {
            switch byte {
            case 0x21...0x7e, 0xa1...0xac, 0xae...0xff: symbols[Int(byte)] = byte
            default:
                symbols[Int(byte)] = free
                free += 1
            }
        }
        return symbols
    }()

    /// The bytes in the order in which CLIP's vocabulary lists their symbols: printable ones first.
    static let bytesInOrder: [UInt8] = {
        let isPlain = { (byte: UInt8) in byteSymbols[Int(byte)] == UInt32(byte) }
        return (UInt8.min...UInt8.max).filter(isPlain)
            + (UInt8.min...UInt8.max).filter { !isPlain($0) }
    }()

    static let symbolBytes: [UInt32: UInt8] = {
        var bytes: [UInt32: UInt8] = [:]
        for (byte, symbol) in byteSymbols.enumerated() { bytes[symbol] = UInt8(byte) }
        return bytes
    }()

    /// Token of each byte inside a word, and at its end; the unknown token where there is none.
    let symbols: [Int32]
    let finalSymbols: [Int32]
    let merges: MergeTable
    /// One more than the greatest token.
    let size: Int

    /// The spelling of each token, in one piece.
    private let spellings: [UInt8]
    private let ranges: [Int32: Range<Int>]

    /// - Parameters:
    ///   - tokens: token of each spelling (UTF-8).
    ///   - unknown: the token of bytes that the vocabulary lacks.
    ///   - added: spellings of tokens beside the vocabulary.
    /// - Returns: `nil` when a byte has no symbol and there is no unknown token.
    init?(
        tokens: [[UInt8]: Int32], merges: MergeTable, unknown: Int32?, added: [[UInt8]: Int32]
    ) {
        var symbols: [Int32] = []
        var finalSymbols: [Int32] = []
        for symbol in Self.byteSymbols {
            var spelling: [UInt8] = []
            spelling.appendUTF8(symbol)
            guard let inside = tokens[spelling] ?? unknown,
                let last = tokens[spelling + Self.endOfWord] ?? unknown
            else { return nil }
            symbols.append(inside)
            finalSymbols.append(last)
        }
        self.symbols = symbols
        self.finalSymbols = finalSymbols
        self.merges = merges
        var spellings: [UInt8] = []
        var ranges: [Int32: Range<Int>] = [:]
        ranges.reserveCapacity(tokens.count + added.count)
        for (spelling, token) in tokens {
            ranges[token] = spellings.count..<(spellings.count + spelling.count)
            spellings += spelling
        }
        for (spelling, token) in added where ranges[token] == nil {
            ranges[token] = spellings.count..<(spellings.count + spelling.count)
            spellings += spelling
        }
        self.spellings = spellings
        self.ranges = ranges
        size = Int(ranges.keys.max() ?? 0) + 1
    }

    /// The bytes that tokens stand for, with `</w>` where words end; tokens that do not exist are
    /// left out.
    func bytes(of tokens: [Int32]) -> [UInt8] {
        var out: [UInt8] = []
        for token in tokens {
            guard let range = ranges[token] else { continue }
            let spelling = spellings[range]
            let scalars = [UInt32](scalarsOf: String(decoding: spelling, as: UTF8.self))
            let bytes = scalars.compactMap { Self.symbolBytes[$0] }
            // A token that is not all symbols was added, and spells itself.
            out += bytes.count == scalars.count ? bytes : Array(spelling)
        }
        return out
    }
}
