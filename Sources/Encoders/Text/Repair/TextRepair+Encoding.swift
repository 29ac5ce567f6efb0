extension TextRepair {
    /// ftfy's `fix_encoding`: text that was decoded in the wrong encoding, decoded again in the right
    /// one, as often as it takes.
    ///
    /// Decoding shortens a text, so this ends.
    static func fixedEncoding(_ text: [UInt32]) -> [UInt32] {
        var text = text
        while true {
            let before = text
            text = fixedEncodingOnce(text)
            if text == before { return text }
        }
    }

    private static func fixedEncodingOnce(_ text: [UInt32]) -> [UInt32] {
        guard text.contains(where: { $0 >= 0x80 }), MojibakeDetector.shared.isBad(text) else {
            return text
        }
        // The commonest case: UTF-8 that was read in a single-byte encoding.
        for page in CodePage.all {
            if let bytes = page.encode(text), let fixed = decoded(bytes, from: page) {
                return fixed
            }
        }
        // The same within text that is otherwise right.
        if let fixed = fixingInconsistentUTF8(text), fixed != text { return fixed }
        // Latin-1 with characters of Windows-1252. (ftfy leaves a text alone here that is in both,
        // but asks for the codec by another name than the one it noted, so that it never does.)
        let unassigned: Set<UInt32> = [0x81, 0x8d, 0x8f, 0x90, 0x9d]
        if text.allSatisfy({ $0 < 0x100 && !unassigned.contains($0) }) {
            let fixed = text.map(withoutC1)
            if fixed != text { return fixed }
        }
        return text.map(withoutC1)
    }

    /// What a text means whose bytes in a code page are UTF-8, or nearly so; `nil` when they are not.
    private static func decoded(_ original: [UInt8], from page: CodePage) -> [UInt32]? {
        var bytes = original
        // In MacRoman a dash before a space looks like such a sequence.
        if page.name != "macroman", ByteRepairs.hasAlteredSpace(bytes) {
            bytes = ByteRepairs.restoringSpaces(bytes)
        }
        if page.isSloppy { bytes = ByteRepairs.replacingLosses(bytes) }
        if bytes.contains(0xed) || bytes.contains(0xc0) { return ByteRepairs.decodeVariants(bytes) }
        return decodeUTF8(bytes)
    }

    /// ftfy's `decode_inconsistent_utf8`; `nil` when nothing in the text looks like UTF-8.
    private static func fixingInconsistentUTF8(_ text: [UInt32]) -> [UInt32]? {
        var out: [UInt32] = []
        var copied = 0
        var index = 0
        while index < text.count {
            guard let end = UTF8Clues.shared.run(in: text, from: index) else {
                index += 1
                continue
            }
            let run = Array(text[index..<end])
            // Only a part of the text, so that this comes to an end.
            if run.count < text.count, MojibakeDetector.shared.isBad(run) {
                out += text[copied..<index] + fixedEncoding(run)
                copied = end
            }
            index = end
        }
        guard copied > 0 else { return nil }
        return out + text[copied...]
    }
}
