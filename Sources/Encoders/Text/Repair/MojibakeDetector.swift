/// Tells text that was probably decoded in the wrong encoding, by sequences of characters that
/// people hardly write: an accented letter before a currency sign, a box drawing beside a quote.
///
/// The kinds and rules are those of ftfy 6.3.1 (`ftfy/badness.py`), so that the same texts are
/// repaired.
struct MojibakeDetector: Sendable {
    static let shared = MojibakeDetector()

    struct Kinds: OptionSet {
        let rawValue: UInt16
        static let common = Kinds(rawValue: 1 << 0)
        static let control = Kinds(rawValue: 1 << 1)
        static let bad = Kinds(rawValue: 1 << 2)
        static let law = Kinds(rawValue: 1 << 3)
        static let currency = Kinds(rawValue: 1 << 4)
        static let start = Kinds(rawValue: 1 << 5)
        static let end = Kinds(rawValue: 1 << 6)
        static let numeric = Kinds(rawValue: 1 << 7)
        static let kaomoji = Kinds(rawValue: 1 << 8)
        static let upperAccented = Kinds(rawValue: 1 << 9)
        static let lowerAccented = Kinds(rawValue: 1 << 10)
        static let upperCommon = Kinds(rawValue: 1 << 11)
        static let lowerCommon = Kinds(rawValue: 1 << 12)
        static let box = Kinds(rawValue: 1 << 13)
    }

    /// By scalar; all but four of them lie below U+2600.
    private var kinds = [Kinds](repeating: [], count: 0x2600)
    private var highKinds: [UInt32: Kinds] = [:]

    private init() {
        add(.common, "\u{a0}\u{ad}·´–—―…’")
        add(.control, 0x80...0x9f)
        add(.bad, "¤¦¨ª¬¯¸ºƒˆˇ˘˛˜†‡‰⌐◊\u{fffd}")
        add(.law, "§¶")
        add(.currency, "¢£¥₧€")
        add(.start, "¡©«¿\u{384}\u{385}‘‚“„•‹\u{f8ff}")
        add(.end, "®»˝”›™")
        add(.numeric, "±²³\u{b5}¹¼½¾×÷⁄№∂\u{2206}∏∑√∞∩∫≈≠≡≤≥")
        add(.kaomoji, "°ÒÓÔÕÖÙÚÛÜòóôõöøùúûüŌŐŪŲ")
        add(.upperAccented, 0xc0...0xd1)
        add(.upperAccented, "ØÜÝĀĂĄĆČĎĐĒĖĘĚĞĢĪİĶĹĻĽŁŃŅŇŒŘŚŞŠŢŤŮŰŸŹŻŽҐ")
        add(.lowerAccented, "ß")
        add(.lowerAccented, 0xe0...0xf1)
        add(.lowerAccented, "üāăąćčďđēėęěğģīįķĺļľłœŕśşšťźżžґﬁﬂ")
        add(.upperCommon, "ÞΆΈΉΊΌΎΏ")
        add(.upperCommon, 0x391...0x3ab)
        add(.upperCommon, 0x401...0x42f)
        add(.lowerCommon, "άέήίΰ")
        add(.lowerCommon, 0x3b1...0x3c9)
        add(.lowerCommon, 0x430...0x45f)
        add(.box, "│┌┐┘├┤┬┼▀▄█▌▐░▒▓")
        add(.box, 0x2550...0x256c)
    }

    private mutating func add(_ kind: Kinds, _ scalars: String) {
        for scalar in scalars.unicodeScalars { add(kind, scalar.value...scalar.value) }
    }

    private mutating func add(_ kind: Kinds, _ scalars: ClosedRange<UInt32>) {
        for scalar in scalars {
            if Int(scalar) < kinds.count {
                kinds[Int(scalar)].insert(kind)
            } else {
                highKinds[scalar, default: []].insert(kind)
            }
        }
    }

    private func kind(of scalar: UInt32) -> Kinds {
        Int(scalar) < kinds.count ? kinds[Int(scalar)] : highKinds[scalar] ?? []
    }

    /// ftfy's `is_bad`.
    func isBad(_ text: [UInt32]) -> Bool {
        for index in text.indices
        where text[index] >= 0x80 && !kind(of: text[index]).isEmpty {
            if isBad(Window(text: text, index: index, detector: self)) { return true }
        }
        return false
    }

    /// Each rule is told by its first scalar beyond ASCII, which always has a kind.
    private func isBad(_ at: Window) -> Bool {
        isUnlikelyPair(at) || isUnlikelyTriple(at) || isLatinMojibake(at) || isOtherMojibake(at)
    }

    private func isUnlikelyPair(_ at: Window) -> Bool {
        let (here, next) = (at.kind(0), at.kind(1))
        if here.contains(.control) { return true }
        func follow(_ first: Kinds, _ second: Kinds) -> Bool {
            !here.isDisjoint(with: first) && !next.isDisjoint(with: second)
        }
        let marks: Kinds = [
            .lowerAccented, .upperAccented, .box, .start, .end, .currency, .numeric, .law,
        ]
        return follow(marks.union(.bad), .bad) || follow(.bad, marks)
            || follow(
                [.lowerAccented, .lowerCommon, .box, .end, .currency, .numeric], .upperAccented)
            || follow([.box, .end, .currency, .numeric], .lowerAccented)
            || follow([.lowerAccented, .box, .end], .currency)
            || follow([.upperAccented, .box], [.numeric, .law])
            || follow([.currency, .numeric, .box], .start)
            || follow(.box, [.kaomoji, .end])
            || follow(marks.subtracting(.box), .box)
            || (here.contains(.upperAccented) && at[1] == 0xb0)
            || (at.isOne(0, of: "Œœ") && at.exists(1) && !at.isASCIILetter(1))
    }

    private func isUnlikelyTriple(_ at: Window) -> Bool {
        let (here, next, third) = (at.kind(0), at.kind(1), at.kind(2))
        let accented: Kinds = [.lowerAccented, .upperAccented]
        if !here.isDisjoint(with: accented.union([.box, .currency, .end])),
            next.contains(.start), third.contains(.numeric)
        {
            return true
        }
        if !here.isDisjoint(with: accented.union([.currency, .numeric, .box, .law])),
            next.contains(.end), third.contains(.start)
        {
            return true
        }
        if !here.isDisjoint(with: accented), !next.isDisjoint(with: [.start, .end]),
            at.isWord(2)
        {
            return true
        }
        // The rules that begin one scalar earlier, with ASCII or a space.
        if at.isASCIILetter(-1), !here.isDisjoint(with: [.lowerCommon, .upperCommon]),
            next.contains(.bad)
        {
            return true
        }
        if here.contains(.upperAccented) {
            if at.isSpace(-1), next.contains(.currency) { return true }
            if at.isASCIILowercase(-1), !next.isDisjoint(with: [.start, .currency]) { return true }
        }
        return false
    }

    /// UTF-8 that was read as Windows-1252 or Latin-1.
    private func isLatinMojibake(_ at: Window) -> Bool {
        let next = at.kind(1)
        switch at[0] {
        case 0xc2, 0xc3, 0xce, 0xd0:
            if !next.isDisjoint(with: [.start, .end])
                || at.isOne(1, of: "€œŠš¢£Ÿž\u{a0}\u{ad}®©°·»–—´")
            {
                return true
            }
            guard at[0] == 0xc2 || at[0] == 0xc3 else { return false }
            if at[0] == 0xc3, at.isOne(1, of: "\u{a0}¡") { return true }
            if at[1] == 0x20 {
                if at.isStart { return true }
                if at.isASCIILowercase(-1) { return true }
                if at.isSpace(-1), at.isASCIILowercase(-2) { return true }
            }
            guard at[0] == 0xc2 else { return false }
            let follows = at.isASCIILowercase(-1) || at.isOne(-1, of: ".,?!")
            return (follows || at.kind(-1).contains(.end))
                && (at[1] == 0x20 || !next.isDisjoint(with: [.start, .end]))
        case 0xd7: return at.isOne(1, of: "²³")
        case 0xd8, 0xd9:
            return at.isArabicTail(1) && (at[2] == 0xd8 || at[2] == 0xd9) && at.isArabicTail(3)
        case 0xe0: return at.isOne(1, of: "²\u{b5}¹¼½¾")
        default: return false
        }
    }

    /// UTF-8 that was read as MacRoman or as Windows-1251, -1253 or -1257.
    private func isOtherMojibake(_ at: Window) -> Bool {
        let garbage: Kinds = [.control, .bad, .start, .end, .currency]
        switch at[0] {
        case 0x221a: return at.isOne(1, of: "±∂†≠®™´≤≥¥\u{b5}ø")
        case 0x2248: return at.isOne(1, of: "°¢")
        case 0x201a:
            return (at[1] == 0xc4 && at.isOne(2, of: "ìîïòôúùû†°¢π"))
                || (at.isOne(1, of: "âó") && at.isOne(2, of: "àä°ê"))
        case 0x432: return at[1] == 0x402
        case 0x412, 0x413, 0x420, 0x421:
            if !at.kind(1).isDisjoint(with: garbage) || at.isOne(1, of: "°\u{b5}"),
                at.isOne(2, of: "\u{412}\u{413}\u{420}\u{421}")
            {
                return true
            }
            return at[0] == 0x413 && at[1] == 0x45e && at[2] == 0x412 && at[3] == 0x402
                && at[4] == 0x412 && at.exists(5) && at[5] != 0x0a
                && (at.isASCIILetter(6) || at[6] == 0x20)
        case 0x392, 0x393, 0x39e, 0x39f:
            return (!at.kind(1).isDisjoint(with: garbage) || at[1] == 0xb0)
                && at.isOne(2, of: "\u{392}\u{393}\u{39e}\u{39f}")
        case 0x3b2: return at[1] == 0x20ac && at.isOne(2, of: "™\u{a0}\u{386}\u{ad}®°")
        case 0x101: return at[1] == 0x20ac
        default: return false
        }
    }

    /// A text seen from one of its scalars; what lies beyond its ends is nothing.
    private struct Window {
        let text: [UInt32]
        let index: Int
        let detector: MojibakeDetector

        var isStart: Bool { index == 0 }

        func exists(_ offset: Int) -> Bool { text.indices.contains(index + offset) }

        subscript(offset: Int) -> UInt32? { exists(offset) ? text[index + offset] : nil }

        func kind(_ offset: Int) -> Kinds {
            self[offset].map(detector.kind(of:)) ?? []
        }

        func isOne(_ offset: Int, of scalars: String) -> Bool {
            guard let scalar = self[offset] else { return false }
            return scalars.unicodeScalars.contains { $0.value == scalar }
        }

        func isASCIILetter(_ offset: Int) -> Bool {
            guard let scalar = self[offset], scalar < 0x80 else { return false }
            return (0x61...0x7a).contains(scalar | 0x20)
        }

        func isASCIILowercase(_ offset: Int) -> Bool {
            guard let scalar = self[offset] else { return false }
            return (0x61...0x7a).contains(scalar)
        }

        func isSpace(_ offset: Int) -> Bool {
            guard let scalar = self[offset] else { return false }
            return UnicodeTables.shared[scalar].contains(.space)
        }

        func isWord(_ offset: Int) -> Bool {
            guard let scalar = self[offset] else { return false }
            return UnicodeTables.shared[scalar].contains(.word)
        }

        /// What follows Ø or Ù in Arabic read as Windows-1252.
        func isArabicTail(_ offset: Int) -> Bool {
            !kind(offset).isDisjoint(with: [.common, .currency, .bad, .numeric, .start])
                || isOne(offset, of: "ŸŠ®°\u{b5}»")
        }
    }
}
