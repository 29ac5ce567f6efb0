/// Numbers as the dialects' originals read them: the texts that Python's `float` accepts.
enum PythonNumber {
    /// The value of a text, or nil when Python would refuse it.
    ///
    /// White space around it, digits of every script and single underscores between digits are fine;
    /// `inf` and `nan` are numbers.
    static func parse(_ scalars: ArraySlice<Unicode.Scalar>) -> Double? {
        var text = String.UnicodeScalarView()
        for scalar in scalars.trimmed { text.append(asciiDigit(scalar) ?? scalar) }
        let spelled = String(text)
        var rest = spelled.utf8[...]
        let isNegative = rest.first == UInt8(ascii: "-")
        if isNegative || rest.first == UInt8(ascii: "+") { rest.removeFirst() }
        let sign: Double = isNegative ? -1 : 1
        switch spelled.utf8.suffix(rest.count).map({ $0 | 0x20 }) {
        case Array("inf".utf8), Array("infinity".utf8): return sign * .infinity
        case Array("nan".utf8): return .nan
        default: break
        }
        let whole = skipDigits(&rest)
        var fraction = 0
        if rest.first == UInt8(ascii: ".") {
            rest.removeFirst()
            fraction = skipDigits(&rest)
        }
        guard whole + fraction > 0 else { return nil }
        if let letter = rest.first, letter | 0x20 == UInt8(ascii: "e") {
            rest.removeFirst()
            if rest.first == UInt8(ascii: "-") || rest.first == UInt8(ascii: "+") {
                rest.removeFirst()
            }
            guard skipDigits(&rest) > 0 else { return nil }
        }
        guard rest.isEmpty else { return nil }
        return Double(spelled.filter { $0 != "_" })
    }

    /// The ASCII digit that a decimal digit of any script stands for.
    static func asciiDigit(_ scalar: Unicode.Scalar) -> Unicode.Scalar? {
        if scalar.isASCII { return nil }
        let properties = scalar.properties
        guard properties.numericType == .decimal, let value = properties.numericValue,
            (0...9).contains(value)
        else { return nil }
        return Unicode.Scalar(0x30 + UInt8(value))
    }

    /// Removes digits with underscores between them from the front and counts the digits; an
    /// underscore that is not between digits stays.
    private static func skipDigits(_ rest: inout Substring.UTF8View) -> Int {
        func isDigit(_ byte: UInt8?) -> Bool { byte.map { (0x30...0x39).contains($0) } ?? false }
        var count = 0
        while let byte = rest.first {
            if isDigit(byte) {
                count += 1
            } else if byte != UInt8(ascii: "_") || count == 0 || !isDigit(rest.dropFirst().first) {
                break
            }
            rest.removeFirst()
        }
        return count
    }
}

extension ArraySlice<Unicode.Scalar> {
    /// Without white space at both ends.
    var trimmed: ArraySlice<Unicode.Scalar> {
        var rest = drop { $0.isPythonSpace }
        while let last = rest.last, last.isPythonSpace { rest.removeLast() }
        return rest
    }

    var text: String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(count)
        for scalar in self { bytes.append(scalar) }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension [UInt8] {
    /// Appends a scalar in UTF-8.
    mutating func append(_ scalar: Unicode.Scalar) {
        if scalar.isASCII {
            append(UInt8(truncatingIfNeeded: scalar.value))
        } else {
            append(contentsOf: scalar.utf8)
        }
    }
}

extension Unicode.Scalar {
    /// White space of Python's `str.isspace` and `\s`: Unicode's, and the four ASCII separators.
    var isPythonSpace: Bool {
        if isASCII { return value <= 0x20 && value >= 0x09 && !(0x0e...0x1b).contains(value) }
        return properties.isWhitespace
    }

    /// A word character of Python's `\w`.
    var isPythonWord: Bool {
        if isASCII {
            switch self {
            case "a"..."z", "A"..."Z", "0"..."9", "_": return true
            default: return false
            }
        }
        if properties.numericType != nil { return true }
        switch properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter:
            return true
        default:
            return false
        }
    }
}
