/// A single-byte encoding, as ftfy tries them on wrongly decoded text.
struct CodePage: Sendable {
    /// A sloppy code page gives unassigned bytes their Latin-1 scalar, and byte 1A stands for U+FFFD.
    let isSloppy: Bool
    let name: String
    /// Scalars of the bytes 0x80…0xFF.
    let upper: [UInt32]
    private let bytes: [UInt32: UInt8]

    private init(_ name: String, isSloppy: Bool) {
        self.name = name
        self.isSloppy = isSloppy
        upper = UnicodeTables.shared.codePages[name] ?? Array(0x80...0xff)
        var bytes: [UInt32: UInt8] = [:]
        for (index, scalar) in upper.enumerated() { bytes[scalar] = UInt8(0x80 + index) }
        if isSloppy { bytes[0xfffd] = 0x1a }
        self.bytes = bytes
    }

    static let latin1 = CodePage("latin-1", isSloppy: false)
    static let windows1252 = CodePage("windows-1252", isSloppy: true)

    /// In the order in which ftfy tries them.
    static let all: [CodePage] =
        [latin1, windows1252]
        + ["windows-1251", "windows-1250", "windows-1253", "windows-1254", "windows-1257"].map {
            CodePage($0, isSloppy: true)
        } + ["iso-8859-2", "macroman", "cp437"].map { CodePage($0, isSloppy: false) }

    /// The bytes of a text; `nil` when a scalar has none.
    func encode(_ text: [UInt32]) -> [UInt8]? {
        var out: [UInt8] = []
        out.reserveCapacity(text.count)
        for scalar in text {
            if scalar < 0x80 {
                if isSloppy, scalar == 0x1a { return nil }
                out.append(UInt8(scalar))
            } else if let byte = bytes[scalar] {
                out.append(byte)
            } else {
                return nil
            }
        }
        return out
    }
}

/// Sets of scalars that tell UTF-8 read in a single-byte encoding that resembles Latin-1.
struct UTF8Clues: Sendable {
    static let shared = UTF8Clues()

    /// Bits of `kinds`.
    static let firstOf2: UInt8 = 1
    static let firstOf3: UInt8 = 2
    static let firstOf4: UInt8 = 4
    static let continuation: UInt8 = 8
    /// A continuation that seldom stands for itself beside such text: no dash, quote or dots.
    static let strictContinuation: UInt8 = 16

    private var kinds: [UInt32: UInt8] = [:]

    private init() {
        for page in CodePage.all.prefix(7) {
            for (index, scalar) in page.upper.enumerated() {
                let kind: UInt8 =
                    switch 0x80 + index {
                    case ..<0xc0: Self.continuation | Self.strictContinuation
                    case 0xc2..<0xe0: Self.firstOf2
                    case 0xe0..<0xf0: Self.firstOf3
                    case 0xf0, 0xf3: Self.firstOf4
                    default: 0
                    }
                kinds[scalar, default: 0] |= kind
            }
        }
        for scalar in "–—―‘’‚“”„•…".unicodeScalars {
            kinds[scalar.value, default: 0] &= ~Self.strictContinuation
        }
        // A space may have been a no-break space.
        kinds[0x20] = Self.continuation
    }

    private func isKind(_ kind: UInt8, _ text: [UInt32], _ index: Int) -> Bool {
        guard index < text.count, let kinds = kinds[text[index]] else { return false }
        return kinds & kind != 0
    }

    /// Where a run of such sequences that begins at `start` ends; `nil` when none begins there.
    func run(in text: [UInt32], from start: Int) -> Int? {
        if start > 0, isKind(Self.strictContinuation, text, start - 1) { return nil }
        var end = start
        while end < text.count {
            let length =
                isKind(Self.firstOf2, text, end)
                ? 2
                : isKind(Self.firstOf3, text, end)
                    ? 3 : isKind(Self.firstOf4, text, end) ? 4 : 0
            guard length > 0,
                (1..<length).allSatisfy({ isKind(Self.continuation, text, end + $0) })
            else { break }
            end += length
        }
        return end > start ? end : nil
    }
}
