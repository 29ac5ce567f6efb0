import CEmbedded

/// HTML character references: `&eacute;`, `&#233;`, `&#xe9;`.
struct CharacterReferences: Sendable {
    static let shared = CharacterReferences()

    /// Names as HTML 5 lists them, most of them with their semicolon.
    private var names: [[UInt8]: [UInt32]] = [:]
    /// Names in capitals (with semicolon) that only ftfy reads, such as `NTILDE;`.
    private var capitals: [[UInt8]: [UInt32]] = [:]

    private init() {
        var isCapitals = false
        for line in EmbeddedTable.lines(of: guidanced_html_entities()) {
            if line.first == UInt8(ascii: "#") { continue }
            if line.first == UInt8(ascii: "@") {
                isCapitals = true
                continue
            }
            let parts = line.split(separator: UInt8(ascii: " "))
            guard parts.count == 2 else { continue }
            let scalars = parts[1].split(separator: UInt8(ascii: "+")).compactMap {
                EmbeddedTable.number($0).map { UInt32($0) }
            }
            if isCapitals {
                capitals[Array(parts[0])] = scalars
            } else {
                names[Array(parts[0])] = scalars
            }
        }
    }

    /// Python's `html.unescape`: also names without a semicolon, and the longest name that begins
    /// an unknown one.
    ///
    /// One difference: Python refuses decimal numbers of more than 4,300 digits with an exception;
    /// here they become U+FFFD like all numbers beyond Unicode.
    func unescaped(_ text: [UInt32]) -> [UInt32] {
        replacingReferences(text) { index in
            if let (scalars, end) = numeric(text, at: index) { return (scalars, end) }
            var end = index + 1
            while end < text.count, end - index <= 32, !Self.endsName(text[end]) { end += 1 }
            guard end > index + 1 else { return nil }
            if end < text.count, text[end] == 0x3b { end += 1 }
            // Names are ASCII, so a longer or other candidate can be cut at its first other scalar.
            let candidate = text[(index + 1)..<end].prefix { $0 < 0x80 }.map { UInt8($0) }
            for length in stride(from: candidate.count, to: 1, by: -1) {
                guard let scalars = names[Array(candidate.prefix(length))] else { continue }
                return (scalars, index + 1 + length)
            }
            return nil
        }
    }

    /// ftfy's `unescape_html`: only references that end in a semicolon.
    func unescapedWithSemicolon(_ text: [UInt32]) -> [UInt32] {
        replacingReferences(text) { index in
            var end = index + 1
            if end < text.count, text[end] == 0x23 { end += 1 }
            let start = end
            while end < text.count, end - start <= 24, Self.isAlphanumeric(text[end]) { end += 1 }
            guard (1...24).contains(end - start), end < text.count, text[end] == 0x3b else {
                return nil
            }
            end += 1
            if start == index + 2 {
                guard let (scalars, numberEnd) = numeric(text, at: index), numberEnd == end,
                    scalars != [0x3b]
                else { return nil }
                return (scalars, end)
            }
            let name = text[start..<end].map { UInt8($0) }
            return (names[name] ?? capitals[name]).map { ($0, end) }
        }
    }

    /// `&#123;` or `&#x7b;`, the semicolon optional: what it stands for and where it ends.
    private func numeric(_ text: [UInt32], at index: Int) -> (scalars: [UInt32], end: Int)? {
        guard index + 2 < text.count, text[index + 1] == 0x23 else { return nil }
        var position = index + 2
        let isHexadecimal = text[position] == 0x78 || text[position] == 0x58
        if isHexadecimal { position += 1 }
        let start = position
        var number: UInt32 = 0
        while position < text.count,
            let digit = Self.digit(text[position], hexadecimal: isHexadecimal)
        {
            number = min(number * (isHexadecimal ? 16 : 10) + digit, 0x110000)
            position += 1
        }
        guard position > start else { return nil }
        if position < text.count, text[position] == 0x3b { position += 1 }
        let tables = UnicodeTables.shared
        if let other = tables.referenceReplacements[number] { return ([other], position) }
        if number > 0x10ffff || (0xd800..<0xe000).contains(number) { return ([0xfffd], position) }
        if tables.referenceRemovals.contains(number) { return ([], position) }
        return ([number], position)
    }

    /// Replaces what `reference` finds at each `&`, left to right, without looking at results again.
    private func replacingReferences(
        _ text: [UInt32], _ reference: (Int) -> (scalars: [UInt32], end: Int)?
    ) -> [UInt32] {
        guard var index = text.firstIndex(of: 0x26) else { return text }
        var out = Array(text[..<index])
        while index < text.count {
            if text[index] == 0x26, let (scalars, end) = reference(index) {
                out += scalars
                index = end
            } else {
                out.append(text[index])
                index += 1
            }
        }
        return out
    }

    private static func digit(_ scalar: UInt32, hexadecimal: Bool) -> UInt32? {
        if (0x30...0x39).contains(scalar) { return scalar - 0x30 }
        guard hexadecimal else { return nil }
        let letter = scalar | 0x20
        return (0x61...0x66).contains(letter) && scalar < 0x80 ? letter - 0x61 + 10 : nil
    }

    private static func isAlphanumeric(_ scalar: UInt32) -> Bool {
        (0x30...0x39).contains(scalar)
            || (scalar < 0x80 && (0x61...0x7a).contains(scalar | 0x20))
    }

    /// What cannot stand in a name: tab, line feed, form feed, space, `<`, `&`, `#`, `;`.
    private static func endsName(_ scalar: UInt32) -> Bool {
        switch scalar {
        case 0x09, 0x0a, 0x0c, 0x20, 0x3c, 0x26, 0x23, 0x3b: true
        default: false
        }
    }
}
