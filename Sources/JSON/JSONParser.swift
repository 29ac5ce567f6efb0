/// Why a text is not JSON, and at which byte.
public struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
    /// Byte offset from the start of the text.
    public let offset: Int
    public let expected: String
    public let actual: String

    public var description: String { "byte \(offset): expected \(expected), found \(actual)" }
}

extension JSONValue {
    /// How deep arrays and objects may nest before a text is refused.
    public static let maximumDepth = 128

    /// Parses one JSON document (RFC 8259): strict UTF-8, no trailing text, no duplicate keys.
    ///
    /// - Throws: `JSONError` at the first byte that is out of place.
    public static func parse(_ bytes: UnsafeRawBufferPointer) throws(JSONError) -> JSONValue {
        var parser = JSONParser(bytes: bytes)
        return try parser.parseDocument()
    }

    public static func parse(_ bytes: [UInt8]) throws(JSONError) -> JSONValue {
        let result: Result<JSONValue, JSONError> = bytes.withUnsafeBytes { buffer in
            do throws(JSONError) {
                return .success(try parse(buffer))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    public static func parse(_ text: String) throws(JSONError) -> JSONValue {
        try parse(Array(text.utf8))
    }

    /// What editors may write before the first character of a UTF-8 file: U+FEFF.
    public static let byteOrderMark: [UInt8] = [0xef, 0xbb, 0xbf]

    /// Parses a file, of which a byte order mark is no part (RFC 8259 §8.1). What comes over the wire
    /// has none.
    ///
    /// - Throws: as `parse`; the offset counts the mark.
    public static func parse(file bytes: [UInt8]) throws(JSONError) -> JSONValue {
        guard bytes.starts(with: byteOrderMark) else { return try parse(bytes) }
        do throws(JSONError) {
            return try parse(Array(bytes.dropFirst(byteOrderMark.count)))
        } catch {
            throw JSONError(
                offset: error.offset + byteOrderMark.count, expected: error.expected,
                actual: error.actual)
        }
    }
}

/// Recursive descent over bytes; recursion is bounded by `JSONValue.maximumDepth`.
private struct JSONParser {
    let bytes: UnsafeRawBufferPointer
    var position = 0
    var depth = 0

    init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    mutating func parseDocument() throws(JSONError) -> JSONValue {
        skipSpace()
        let value = try parseValue()
        skipSpace()
        if position < bytes.count { throw fault("the end of the text") }
        return value
    }

    private func fault(_ expected: String) -> JSONError {
        fault(expected, at: position)
    }

    private func fault(_ expected: String, at offset: Int) -> JSONError {
        let actual: String
        if offset >= bytes.count {
            actual = "the end of the text"
        } else if (0x20..<0x7f).contains(bytes[offset]) {
            actual = "'\(Character(Unicode.Scalar(bytes[offset])))'"
        } else {
            actual = "byte \(bytes[offset])"
        }
        return JSONError(offset: offset, expected: expected, actual: actual)
    }

    private mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x0a, 0x0d, 0x09: position += 1
            default: return
            }
        }
    }

    private mutating func parseValue() throws(JSONError) -> JSONValue {
        guard position < bytes.count else { throw fault("a value") }
        switch bytes[position] {
        case UInt8(ascii: "{"): return .object(try parseObject())
        case UInt8(ascii: "["): return .array(try parseArray())
        case UInt8(ascii: "\""): return .string(try parseString())
        case UInt8(ascii: "t"): return try parseLiteral("true", .bool(true))
        case UInt8(ascii: "f"): return try parseLiteral("false", .bool(false))
        case UInt8(ascii: "n"): return try parseLiteral("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try parseNumber()
        default: throw fault("a value")
        }
    }

    private mutating func parseLiteral(
        _ word: StaticString, _ value: JSONValue
    ) throws(JSONError) -> JSONValue {
        for index in 0..<word.utf8CodeUnitCount {
            guard position + index < bytes.count,
                bytes[position + index] == word.utf8Start[index]
            else { throw fault("'\(word)'") }
        }
        position += word.utf8CodeUnitCount
        return value
    }

    private mutating func enter() throws(JSONError) {
        depth += 1
        if depth > JSONValue.maximumDepth {
            throw JSONError(
                offset: position, expected: "at most \(JSONValue.maximumDepth) nested levels",
                actual: "a deeper one")
        }
        position += 1
        skipSpace()
    }

    private mutating func parseArray() throws(JSONError) -> [JSONValue] {
        try enter()
        defer { depth -= 1 }
        var elements: [JSONValue] = []
        if take("]") { return elements }
        while true {
            elements.append(try parseValue())
            skipSpace()
            if take("]") { return elements }
            guard take(",") else { throw fault("',' or ']'") }
            skipSpace()
        }
    }

    private mutating func parseObject() throws(JSONError) -> JSONObject {
        try enter()
        defer { depth -= 1 }
        var object = JSONObject()
        if take("}") { return object }
        while true {
            let start = position
            guard position < bytes.count, bytes[position] == UInt8(ascii: "\"") else {
                throw fault("a key in quotes")
            }
            let key = try parseString()
            if object[key] != nil {
                throw JSONError(
                    offset: start, expected: "each key once", actual: "a second \"\(key)\"")
            }
            skipSpace()
            guard take(":") else { throw fault("':'") }
            skipSpace()
            object[key] = try parseValue()
            skipSpace()
            if take("}") { return object }
            guard take(",") else { throw fault("',' or '}'") }
            skipSpace()
        }
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard position < bytes.count, bytes[position] == UInt8(ascii: character) else {
            return false
        }
        position += 1
        return true
    }

    private mutating func parseNumber() throws(JSONError) -> JSONValue {
        let start = position
        _ = take("-")
        guard position < bytes.count, isDigit(bytes[position]) else { throw fault("a digit") }
        if !take("0") { skipDigits() }
        if position < bytes.count, isDigit(bytes[position]) { throw fault("no digit after 0") }
        var isInteger = true
        if take(".") {
            isInteger = false
            guard position < bytes.count, isDigit(bytes[position]) else { throw fault("a digit") }
            skipDigits()
        }
        if take("e") || take("E") {
            isInteger = false
            if !take("+") { _ = take("-") }
            guard position < bytes.count, isDigit(bytes[position]) else { throw fault("a digit") }
            skipDigits()
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isInteger, let value = Int(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else {
            throw JSONError(
                offset: start, expected: "a number within a double's range", actual: text)
        }
        return .number(value)
    }

    private func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

    private mutating func skipDigits() {
        while position < bytes.count, isDigit(bytes[position]) { position += 1 }
    }

    private mutating func parseString() throws(JSONError) -> String {
        position += 1
        let start = position
        // Most strings have no escapes: validate and copy them in one go.
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                let text = try decode(start..<position)
                position += 1
                return text
            }
            if byte == UInt8(ascii: "\\") { break }
            if byte < 0x20 { throw fault("no control character in a string") }
            position += 1
        }
        var text = try decode(start..<position)
        while position < bytes.count {
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                position += 1
                return text
            }
            if byte < 0x20 { throw fault("no control character in a string") }
            if byte == UInt8(ascii: "\\") {
                text.unicodeScalars.append(try parseEscape())
            } else {
                let run = position
                while position < bytes.count, bytes[position] >= 0x20,
                    bytes[position] != UInt8(ascii: "\""), bytes[position] != UInt8(ascii: "\\")
                {
                    position += 1
                }
                text += try decode(run..<position)
            }
        }
        throw fault("'\"'")
    }

    private func decode(_ range: Range<Int>) throws(JSONError) -> String {
        guard let text = String(validating: bytes[range], as: UTF8.self) else {
            throw JSONError(
                offset: range.lowerBound, expected: "valid UTF-8", actual: "an invalid sequence")
        }
        return text
    }

    private mutating func parseEscape() throws(JSONError) -> Unicode.Scalar {
        let start = position
        position += 1
        guard position < bytes.count else { throw fault("an escape") }
        let letter = bytes[position]
        position += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"):
            return Unicode.Scalar(letter)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            let first = try parseHex()
            if let scalar = Unicode.Scalar(first) { return scalar }
            if (0xd800..<0xdc00).contains(first), take("\\"), take("u") {
                let second = try parseHex()
                if (0xdc00..<0xe000).contains(second),
                    let scalar = Unicode.Scalar(
                        0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
                {
                    return scalar
                }
            }
            throw JSONError(
                offset: start, expected: "a pair of surrogates", actual: "a lone surrogate")
        default: throw fault("an escape", at: position - 1)
        }
    }

    private mutating func parseHex() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard position < bytes.count,
                let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue
            else { throw fault("a hexadecimal digit") }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }
}
