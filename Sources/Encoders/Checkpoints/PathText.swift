import Glibc

/// Names of files, which are bytes, in strings, which are Unicode.
///
/// In the string each byte that is not part of valid UTF-8 is one scalar, U+10F700 + byte (plane 16's
/// private use area); `bytes(of:)` gives the bytes back. Valid names stay as they are, but for those
/// that hold such scalars themselves, whose bytes are written so too: no two names share a string.
package enum PathText {
    private static let first: UInt32 = 0x10_f700
    private static let scalars: ClosedRange<UInt32> = first + 0x80...first + 0xff

    /// The string for the name of a file.
    package static func text(_ bytes: some Collection<UInt8>) -> String {
        var text = String.UnicodeScalarView()
        func append(escaped byte: UInt8) {
            if let scalar = Unicode.Scalar(first + UInt32(byte)) { text.append(scalar) }
        }
        var rest = Array(bytes)[...]
        while let byte = rest.first {
            let length =
                switch byte {
                case 0..<0x80: 1
                case 0xc2..<0xe0: 2
                case 0xe0..<0xf0: 3
                case 0xf0..<0xf5: 4
                default: 0
                }
            let piece = rest.prefix(length)
            if length > 0, piece.count == length,
                let scalar = String(validating: piece, as: UTF8.self)?.unicodeScalars.first,
                !scalars.contains(scalar.value)
            {
                text.append(scalar)
                rest = rest.dropFirst(length)
            } else {
                append(escaped: byte)
                rest = rest.dropFirst()
            }
        }
        return String(text)
    }

    /// The bytes that a string stands for.
    package static func bytes(of path: String) -> [UInt8] {
        guard firstEscape(in: path) != nil else { return Array(path.utf8) }
        var bytes: [UInt8] = []
        for scalar in path.unicodeScalars {
            if scalars.contains(scalar.value) {
                bytes.append(UInt8(scalar.value - first))
            } else {
                bytes += Array(String(scalar).utf8)
            }
        }
        return bytes
    }

    /// The first byte of a string that is no UTF-8, and how many bytes stand before it.
    package static func firstEscape(in text: String) -> (byte: UInt8, offset: Int)? {
        // They begin with F4 8F; few strings hold such a byte at all.
        guard text.utf8.contains(0xf4) else { return nil }
        var offset = 0
        for scalar in text.unicodeScalars {
            if scalars.contains(scalar.value) { return (UInt8(scalar.value - first), offset) }
            offset += String(scalar).utf8.count
        }
        return nil
    }

    /// For people: U+FFFD where a byte is no UTF-8.
    package static func readable(_ text: String) -> String {
        guard firstEscape(in: text) != nil else { return text }
        var readable = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            readable.append(scalars.contains(scalar.value) ? "\u{fffd}" : scalar)
        }
        return String(readable)
    }
}

extension String {
    /// The name of a file for the C library, with its terminating zero.
    package var nativePath: [CChar] {
        (PathText.bytes(of: self) + [0]).map { CChar(bitPattern: $0) }
    }
}
