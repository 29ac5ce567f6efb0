/// ftfy's `fix_text` with its default configuration (ftfy 6.3.1), which open_clip runs on every text:
/// HTML references, wrongly decoded text, ligatures, character widths, curly quotes, line breaks,
/// terminal escapes, control characters and NFC.
///
/// Two differences, both out of reach of ordinary text: ftfy repeats its steps until nothing changes,
/// however long that takes, and here a text gets `workLimit` (a reference that was escaped more than
/// a thousand times in a long text stays escaped); and surrogates, which Swift's strings cannot hold,
/// need no step.
enum TextRepair {
    /// ftfy repairs lines, and longer lines in pieces of this many scalars.
    private static let longestSegment = 1_000_000
    /// How many scalars the repetitions over one text may visit.
    static let workLimit = 1 << 24

    static func fixed(_ text: [UInt32]) -> [UInt32] {
        var out: [UInt32] = []
        out.reserveCapacity(text.count)
        var unescapes = true
        var work = workLimit
        var position = 0
        while position < text.count {
            let limit = min(text.count, position + longestSegment)
            let end = text[position..<limit].firstIndex(of: 0x0a).map { $0 + 1 } ?? limit
            let segment = text[position..<end]
            // Where there is a tag, references are part of the HTML, here and in what follows.
            if unescapes, segment.contains(0x3c) { unescapes = false }
            if needsNothing(segment, unescapes: unescapes) {
                out += segment
            } else {
                out += fixedSegment(Array(segment), unescapes: unescapes, work: &work)
            }
            position = end
        }
        return out
    }

    private static func needsNothing(_ segment: ArraySlice<UInt32>, unescapes: Bool) -> Bool {
        segment.allSatisfy {
            (0x20..<0x7f).contains($0) && ($0 != 0x26 || !unescapes) || $0 == 0x09 || $0 == 0x0a
        }
    }

    private static func fixedSegment(
        _ segment: [UInt32], unescapes: Bool, work: inout Int
    ) -> [UInt32] {
        var text = segment
        while true {
            let before = text
            if unescapes { text = CharacterReferences.shared.unescapedWithSemicolon(text) }
            text = fixedEncoding(text)
            text = withPlainCharacters(text)
            text = withoutTerminalEscapes(text)
            text.removeAll(where: isRemoved)
            text = UnicodeTables.shared.composed(text, .python)
            work -= before.count
            if text == before || work < 0 { return text }
        }
    }

    // MARK: single characters

    private static let ligatures: [UInt32: [UInt32]] = [
        0x132: "IJ", 0x133: "ij", 0x149: "\u{2bc}n", 0x1f1: "DZ", 0x1f2: "Dz", 0x1f3: "dz",
        0x1c4: "D\u{17d}", 0x1c5: "D\u{17e}", 0x1c6: "d\u{17e}", 0x1c7: "LJ", 0x1c8: "Lj",
        0x1c9: "lj", 0x1ca: "NJ", 0x1cb: "Nj", 0x1cc: "nj", 0xfb00: "ff", 0xfb01: "fi",
        0xfb02: "fl", 0xfb03: "ffi", 0xfb04: "ffl", 0xfb05: "\u{17f}t", 0xfb06: "st",
    ].mapValues { [UInt32](scalarsOf: $0) }

    /// C1 controls read as Windows-1252, ligatures and widths, straight quotes, and line breaks, in
    /// that order.
    private static func withPlainCharacters(_ text: [UInt32]) -> [UInt32] {
        guard text.contains(where: { $0 >= 0x80 || $0 == 0x0d }) else { return text }
        let widths = UnicodeTables.shared.widths
        var out: [UInt32] = []
        out.reserveCapacity(text.count)
        for (index, original) in text.enumerated() {
            if original < 0x80 {
                // A line feed after a carriage return is the same line break.
                if original == 0x0a, index > 0, text[index - 1] == 0x0d { continue }
                out.append(original == 0x0d ? 0x0a : original)
                continue
            }
            let scalar = withoutC1(original)
            let expanded = ligatures[scalar] ?? widths[scalar]
            if let expanded {
                out += expanded.map(straight)
            } else {
                out.append(straight(scalar))
            }
        }
        return out
    }

    /// Straight quotes and line breaks.
    private static func straight(_ scalar: UInt32) -> UInt32 {
        switch scalar {
        case 0x201c...0x201f: 0x22
        case 0x2bc, 0x2018...0x201b: 0x27
        case 0x2028, 0x2029, 0x85: 0x0a
        default: scalar
        }
    }

    /// ftfy's `fix_c1_controls`.
    static func withoutC1(_ scalar: UInt32) -> UInt32 {
        (0x80..<0xa0).contains(scalar) ? CodePage.windows1252.upper[Int(scalar) - 0x80] : scalar
    }

    /// ftfy's `remove_terminal_escapes`: ESC `[`, digits of any script and semicolons, a letter.
    private static func withoutTerminalEscapes(_ text: [UInt32]) -> [UInt32] {
        guard text.contains(0x1b) else { return text }
        let tables = UnicodeTables.shared
        var out: [UInt32] = []
        var index = 0
        while index < text.count {
            if text[index] == 0x1b, index + 1 < text.count, text[index + 1] == 0x5b {
                var end = index + 2
                while end < text.count, text[end] == 0x3b || tables[text[end]].contains(.digit) {
                    end += 1
                }
                if end < text.count, text[end] < 0x80, (0x61...0x7a).contains(text[end] | 0x20) {
                    index = end + 1
                    continue
                }
            }
            out.append(text[index])
            index += 1
        }
        return out
    }

    /// ftfy's `remove_control_chars`.
    private static func isRemoved(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0..<0x09, 0x0b, 0x0e..<0x20, 0x7f, 0x206a..<0x2070, 0xfeff, 0xfff9..<0xfffd: true
        default: false
        }
    }
}
