extension UnicodeTables {
    /// Normalisation form C (Unicode Standard Annex 15) of a sequence of scalars.
    ///
    /// Linear, but for the sorting of runs of combining marks that stand out of order.
    func composed(_ text: [UInt32], _ edition: UnicodeEdition) -> [UInt32] {
        // A text without any such scalar from U+0300 up, where the marks begin, is its own NFC.
        guard text.contains(where: { $0 >= 0x300 && self[$0].concernsNormalization }) else {
            return text
        }
        return compose(decompose(text, edition), edition)
    }

    /// Canonical decomposition in canonical order; each word is `class << 24 | scalar`.
    private func decompose(_ text: [UInt32], _ edition: UnicodeEdition) -> [UInt32] {
        var out: [UInt32] = []
        out.reserveCapacity(text.count + text.count / 8)
        var runStart = 0
        var isOrdered = true

        func closeRun() {
            if !isOrdered {
                let sorted = out[runStart...].enumerated().sorted {
                    ($0.element >> 24, $0.offset) < ($1.element >> 24, $1.offset)
                }
                out.replaceSubrange(runStart..., with: sorted.map(\.element))
            }
            isOrdered = true
        }

        func append(_ scalar: UInt32) {
            let properties = self[scalar]
            if properties.contains(.decomposes),
                edition == .python || !properties.contains(.decompositionUnknownToTokenizers),
                let (first, second) = decompositions[scalar]
            {
                append(first)
                if second != 0 { append(second) }
                return
            }
            let combiningClass = properties.combiningClass(edition)
            if combiningClass == 0 {
                closeRun()
                out.append(scalar)
                runStart = out.count
            } else {
                if out.count > runStart, let last = out.last, last >> 24 > combiningClass {
                    isOrdered = false
                }
                out.append(combiningClass << 24 | scalar)
            }
        }

        for scalar in text { append(scalar) }
        closeRun()
        return out
    }

    private func compose(_ decomposed: [UInt32], _ edition: UnicodeEdition) -> [UInt32] {
        var out: [UInt32] = []
        out.reserveCapacity(decomposed.count)
        var starter: Int?
        /// The class of the last scalar between the starter and the present one; 0 for none.
        var lastClass: UInt32 = 0
        for word in decomposed {
            let (combiningClass, scalar) = (word >> 24, word & 0xff_ffff)
            if let starter, lastClass == 0 || lastClass < combiningClass,
                let whole = composition(out[starter], scalar, edition)
            {
                out[starter] = whole
                continue
            }
            if combiningClass == 0 { starter = out.count }
            lastClass = combiningClass
            out.append(scalar)
        }
        return out
    }

    private func composition(
        _ first: UInt32, _ second: UInt32, _ edition: UnicodeEdition
    ) -> UInt32? {
        guard self[second].contains(.composes) else { return nil }
        if (0x1100..<0x1113).contains(first), (0x1161..<0x1176).contains(second) {
            return 0xac00 + ((first - 0x1100) * 21 + (second - 0x1161)) * 28
        }
        if (0xac00..<0xd7a4).contains(first), (first - 0xac00) % 28 == 0,
            (0x11a8..<0x11c3).contains(second)
        {
            return first + second - 0x11a7
        }
        guard let whole = compositions[UInt64(first) << 32 | UInt64(second)] else { return nil }
        if edition == .tokenizers, self[whole].contains(.decompositionUnknownToTokenizers) {
            return nil
        }
        return whole
    }
}
