import JSON

/// Finds `id` and `op` in a header that cannot be parsed as a whole, so that even its refusal
/// reaches the request that it belongs to.
///
/// Reads the members of the outermost object in order until the text ends or makes no sense. What
/// it finds are complete JSON strings.
struct HeaderScan {
    private(set) var id: String?
    private(set) var op: String?

    private let text: UnsafeRawBufferPointer
    private var position = 0

    /// - Parameter text: the part of a header before its fault.
    init(_ text: UnsafeRawBufferPointer) {
        self.text = text
        guard take("{") else { return }
        repeat {
            guard let key = string(), take(":") else { return }
            skipSpace()
            if peek == UInt8(ascii: "\"") {
                guard let value = string() else { return }
                // The first of two: a parser refuses the second as a duplicate.
                if key == "id", id == nil { id = value }
                if key == "op", op == nil { op = value }
            } else if !skipValue() {
                return
            }
        } while take(",")
    }

    private var peek: UInt8? { position < text.count ? text[position] : nil }

    private mutating func skipSpace() {
        while let byte = peek, [0x20, 0x0a, 0x0d, 0x09].contains(byte) { position += 1 }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        skipSpace()
        guard peek == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    /// The string at the current place, if it is whole and well-formed.
    private mutating func string() -> String? {
        skipSpace()
        let start = position
        guard skipString() else { return nil }
        let literal = UnsafeRawBufferPointer(rebasing: text[start..<position])
        return (try? JSONValue.parse(literal))?.stringValue
    }

    private mutating func skipString() -> Bool {
        guard peek == UInt8(ascii: "\"") else { return false }
        position += 1
        while let byte = peek {
            position += byte == UInt8(ascii: "\\") ? 2 : 1
            if byte == UInt8(ascii: "\"") { return true }
        }
        // An escape at the very end steps beyond it.
        position = text.count
        return false
    }

    /// Passes over a value that is no string; `false` when the text ends first.
    private mutating func skipValue() -> Bool {
        var depth = 0
        while let byte = peek {
            switch byte {
            case UInt8(ascii: "\""):
                guard skipString() else { return false }
                continue
            case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"):
                if depth == 0 { return true }
                depth -= 1
            case UInt8(ascii: ",") where depth == 0: return true
            default: break
            }
            position += 1
        }
        return false
    }
}
