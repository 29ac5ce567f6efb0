import Glibc

/// A text without all that prompt languages and tokenizers may change about a name: only its ASCII
/// letters, small, and its digits.
struct FoldedName: Sendable {
    /// `nil` for a text that is repaired in other ways before it is read (characters beyond ASCII,
    /// character references): anything may be in it. Ends with a zero byte.
    private let letters: [CChar]?

    init(_ text: String) {
        var letters: [CChar] = []
        letters.reserveCapacity(text.utf8.count + 1)
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
                letters.append(CChar(byte))
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): letters.append(CChar(byte | 0x20))
            case UInt8(ascii: "&"), 0x80...0xff:
                self.letters = nil
                return
            default: break
            }
        }
        letters.append(0)
        self.letters = letters
    }

    /// Whether this name can be meant by a text; never `false` for one that is.
    func mayOccur(in text: FoldedName) -> Bool {
        guard let letters, let other = text.letters else { return true }
        return letters.withUnsafeBufferPointer { name in
            other.withUnsafeBufferPointer { text in
                guard let text = text.baseAddress, let name = name.baseAddress else { return true }
                return strstr(text, name) != nil
            }
        }
    }
}
