extension [UInt32] {
    /// The scalars of a text; texts are cleaned as arrays of them.
    init(scalarsOf text: String) {
        self = text.unicodeScalars.map(\.value)
    }

    /// The text of these scalars; what is no scalar becomes U+FFFD.
    var text: String { self[...].text }
}

extension ArraySlice<UInt32> {
    /// The text of these scalars; what is no scalar becomes U+FFFD.
    var text: String {
        var view = String.UnicodeScalarView()
        for value in self { view.append(Unicode.Scalar(value) ?? "\u{fffd}") }
        return String(view)
    }
}

/// The number of bytes of a scalar in UTF-8.
func utf8Length(_ scalar: UInt32) -> Int {
    scalar < 0x80 ? 1 : scalar < 0x800 ? 2 : scalar < 0x10000 ? 3 : 4
}

extension [UInt8] {
    /// Appends a scalar in UTF-8.
    mutating func appendUTF8(_ scalar: UInt32) {
        if scalar < 0x80 {
            append(UInt8(scalar))
        } else if scalar < 0x800 {
            append(UInt8(0xc0 | scalar >> 6))
            append(UInt8(0x80 | scalar & 0x3f))
        } else if scalar < 0x10000 {
            append(UInt8(0xe0 | scalar >> 12))
            append(UInt8(0x80 | scalar >> 6 & 0x3f))
            append(UInt8(0x80 | scalar & 0x3f))
        } else {
            append(UInt8(0xf0 | scalar >> 18))
            append(UInt8(0x80 | scalar >> 12 & 0x3f))
            append(UInt8(0x80 | scalar >> 6 & 0x3f))
            append(UInt8(0x80 | scalar & 0x3f))
        }
    }
}

/// The scalars of strict UTF-8; `nil` when a byte is out of place.
func decodeUTF8(_ bytes: some RandomAccessCollection<UInt8>) -> [UInt32]? {
    String(validating: bytes, as: UTF8.self).map { [UInt32](scalarsOf: $0) }
}
