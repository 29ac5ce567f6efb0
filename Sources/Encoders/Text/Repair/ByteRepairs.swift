/// Repairs of bytes that would be UTF-8 but for what happened to single bytes on the way.
enum ByteRepairs {
    private static let noBreakSpace: UInt8 = 0xa0

    // MARK: spaces that were no-break spaces

    /// Whether a sequence occurs that would be UTF-8 if a space in it were byte A0.
    static func hasAlteredSpace(_ bytes: [UInt8]) -> Bool {
        bytes.indices.contains { alteredLength(bytes, $0) != nil }
    }

    /// ftfy's `restore_byte_a0`.
    static func restoringSpaces(_ bytes: [UInt8]) -> [UInt8] {
        let words = replacing(bytes) { bytes, index in
            guard isAGraveWord(bytes, index) else { return nil }
            return ([0xc3, noBreakSpace, 0x20], 2)
        }
        return replacing(words) { bytes, index in
            guard let length = alteredLength(bytes, index) else { return nil }
            let restored = bytes[index..<index + length].map { $0 == 0x20 ? noBreakSpace : $0 }
            return (restored, length)
        }
    }

    /// `à` as a word of its own, whose second byte became a space, and not the beginning of the
    /// Portuguese `às`, `àquele`, `àquela` or `àquilo`.
    private static func isAGraveWord(_ bytes: [UInt8], _ index: Int) -> Bool {
        guard bytes[index] == 0xc3, index + 1 < bytes.count, bytes[index + 1] == 0x20 else {
            return false
        }
        let rest = bytes[(index + 2)...]
        return ![" ", "quele", "quela", "quilo", "s "].contains { rest.starts(with: $0.utf8) }
    }

    private static func alteredLength(_ bytes: [UInt8], _ index: Int) -> Int? {
        func byte(_ offset: Int) -> UInt8 {
            index + offset < bytes.count ? bytes[index + offset] : 0
        }
        func isSpace(_ offset: Int) -> Bool { byte(offset) == 0x20 }
        func isContinuation(_ offset: Int) -> Bool { (0x80...0xbf).contains(byte(offset)) }
        func isUsual(_ offset: Int) -> Bool {
            isContinuation(offset) && byte(offset) != 0x85 && byte(offset) != noBreakSpace
        }
        switch bytes[index] {
        case 0xc2, 0xc3, 0xc5, 0xce, 0xd0, 0xd9: return isSpace(1) ? 2 : nil
        case 0xe2...0xe3 where isSpace(1) && isUsual(2): return 3
        case 0xe0...0xe3: return isUsual(1) && isSpace(2) ? 3 : nil
        case 0xf0:
            let isAltered =
                (isSpace(1) && isContinuation(2) && isContinuation(3))
                || (isContinuation(1) && isSpace(2) && isContinuation(3))
                || (isContinuation(1) && isContinuation(2) && isSpace(3))
            return isAltered ? 4 : nil
        default: return nil
        }
    }

    // MARK: bytes that were lost

    /// ftfy's `replace_lossy_sequences`: UTF-8 in which bytes became 1A (which stands for U+FFFD)
    /// or one a question mark is read as U+FFFD.
    static func replacingLosses(_ bytes: [UInt8]) -> [UInt8] {
        replacing(bytes) { bytes, index in
            lossyLength(bytes, index).map { ([0xef, 0xbf, 0xbd], $0) }
        }
    }

    private static func lossyLength(_ bytes: [UInt8], _ index: Int) -> Int? {
        func byte(_ offset: Int) -> UInt8? {
            index + offset < bytes.count ? bytes[index + offset] : nil
        }
        func isIn(_ offset: Int, _ range: ClosedRange<UInt8>) -> Bool {
            byte(offset).map(range.contains) ?? false
        }
        func isLost(_ offset: Int) -> Bool { byte(offset) == 0x1a || byte(offset) == 0x3f }
        func isKept(_ offset: Int) -> Bool { byte(offset) == 0x1a || isIn(offset, 0x80...0xbf) }
        let lead = bytes[index]
        if (0xc2...0xdf).contains(lead), byte(1) == 0x1a { return 2 }
        if (0xc2...0xc3).contains(lead), byte(1) == 0x3f { return 2 }
        if lead == 0xed, isIn(1, 0xa0...0xaf), byte(3) == 0xed, isIn(4, 0xb0...0xbf),
            isLost(2) && (isLost(5) || isKept(5)) || (isLost(2) || isKept(2)) && isLost(5)
        {
            return 6
        }
        if (0xe0...0xef).contains(lead), isLost(1) && isKept(2) || isKept(1) && isLost(2) {
            return 3
        }
        if (0xf0...0xf4).contains(lead),
            isLost(1) && isKept(2) && isKept(3) || isKept(1) && isLost(2) && isKept(3)
                || isKept(1) && isKept(2) && isLost(3)
        {
            return 4
        }
        return lead == 0x1a ? 1 : nil
    }

    // MARK: variants of UTF-8

    /// ftfy's codec `utf-8-variants`: also surrogate pairs that were encoded one by one (CESU-8),
    /// and Java's two bytes for U+0000.
    ///
    /// As there, the last byte of such a sequence may be missing before a final line feed, which is
    /// then taken for it.
    static func decodeVariants(_ bytes: [UInt8]) -> [UInt32]? {
        var out: [UInt32] = []
        var plain = 0
        var index = 0
        func isEnd(_ position: Int) -> Bool {
            position == bytes.count
                || (position == bytes.count - 1 && bytes[position] == 0x0a)
        }
        func decodePlain() -> Bool {
            guard let scalars = decodeUTF8(bytes[plain..<index]) else { return false }
            out += scalars
            return true
        }
        while index < bytes.count {
            if bytes[index] == 0xc0, index + 1 < bytes.count,
                bytes[index + 1] == 0x80 || isEnd(index + 1)
            {
                guard decodePlain() else { return nil }
                out.append(0)
                index += 2
                plain = index
            } else if bytes[index] == 0xed, index + 5 < bytes.count,
                (0xa0...0xaf).contains(bytes[index + 1]),
                (0x80...0xbf).contains(bytes[index + 2]), bytes[index + 3] == 0xed,
                (0xb0...0xbf).contains(bytes[index + 4]),
                (0x80...0xbf).contains(bytes[index + 5]) || isEnd(index + 5)
            {
                guard decodePlain() else { return nil }
                func bits(_ offset: Int, _ mask: UInt8) -> UInt32 {
                    UInt32(bytes[index + offset] & mask)
                }
                let high = bits(1, 0x0f) << 16 | bits(2, 0x3f) << 10
                out.append(0x10000 + high + (bits(4, 0x0f) << 6 | bits(5, 0x3f)))
                index += 6
                plain = index
            } else {
                index += 1
            }
        }
        return decodePlain() ? out : nil
    }

    /// Replaces what `match` finds, left to right; it gives the new bytes and how many old ones
    /// they replace.
    private static func replacing(
        _ bytes: [UInt8], _ match: ([UInt8], Int) -> (bytes: [UInt8], length: Int)?
    ) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            if let (replacement, length) = match(bytes, index) {
                out += replacement
                index += length
            } else {
                out.append(bytes[index])
                index += 1
            }
        }
        return out
    }
}
