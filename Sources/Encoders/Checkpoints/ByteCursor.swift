/// Reads numbers and text one after another from bytes that nobody vouches for: every step is checked
/// against the end, and every error says where it is.
struct ByteCursor {
    let bytes: UnsafeRawBufferPointer
    /// For messages.
    let path: String
    /// Where the next byte is, from the start of `bytes`.
    private(set) var offset: Int
    /// Reading stops here.
    let end: Int

    /// - Precondition: `range` is within the bytes.
    init(_ bytes: UnsafeRawBufferPointer, range: Range<Int>, path: String) {
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count)
        self.bytes = bytes
        self.path = path
        offset = range.lowerBound
        end = range.upperBound
    }

    var remaining: Int { end - offset }

    /// Goes to an offset from the start of the bytes.
    mutating func seek(to position: Int, _ what: String) throws(EncoderError) {
        guard position >= 0, position <= end else {
            throw fault(
                "\(what) within the \(end) bytes", "one at byte \(position)", at: offset)
        }
        offset = position
    }

    /// A little-endian number.
    mutating func number<Number: FixedWidthInteger>(
        _ type: Number.Type, _ what: String
    ) throws(EncoderError) -> Number {
        let range = try take(MemoryLayout<Number>.size, what)
        return Number(
            littleEndian: bytes.loadUnaligned(fromByteOffset: range.lowerBound, as: Number.self))
    }

    /// A little-endian number without sign that counts something: it fits an `Int`.
    mutating func count<Number: FixedWidthInteger & UnsignedInteger>(
        _ type: Number.Type, _ what: String
    ) throws(EncoderError) -> Int {
        let start = offset
        let value = try number(type, what)
        guard let count = Int(exactly: value) else {
            throw fault(what + " below 2^63", "\(value)", at: start)
        }
        return count
    }

    mutating func double(_ what: String, bigEndian: Bool) throws(EncoderError) -> Double {
        let bits = try number(UInt64.self, what)
        return Double(bitPattern: bigEndian ? bits.byteSwapped : bits)
    }

    /// Steps over `count` bytes and says where they are.
    mutating func take(_ count: Int, _ what: String) throws(EncoderError) -> Range<Int> {
        guard count >= 0, count <= remaining else {
            throw fault("\(count) bytes of \(what)", "\(remaining) bytes", at: offset)
        }
        let range = offset..<offset + count
        offset += count
        return range
    }

    /// `count` bytes as UTF-8.
    mutating func text(_ count: Int, _ what: String) throws(EncoderError) -> String {
        let range = try take(count, what)
        return try Self.text(bytes, range, what, path: path)
    }

    /// The bytes before the next newline, which is stepped over, as UTF-8.
    mutating func line(_ what: String) throws(EncoderError) -> String {
        var position = offset
        while position < end, bytes[position] != UInt8(ascii: "\n") { position += 1 }
        guard position < end else {
            throw fault("\(what) that ends in a newline", "the end", at: offset)
        }
        let text = try text(position - offset, what)
        offset = position + 1
        return text
    }

    func fault(_ expected: String, _ actual: String, at position: Int? = nil) -> EncoderError {
        .malformed(
            path: path, offset: position ?? offset, expected: expected, actual: actual)
    }

    private static func text(
        _ bytes: UnsafeRawBufferPointer, _ range: Range<Int>, _ what: String, path: String
    ) throws(EncoderError) -> String {
        guard
            let text = String(
                validating: UnsafeRawBufferPointer(rebasing: bytes[range]), as: UTF8.self)
        else {
            throw .malformed(
                path: path, offset: range.lowerBound, expected: "\(what) as UTF-8",
                actual: "bytes that are none")
        }
        return text
    }
}
