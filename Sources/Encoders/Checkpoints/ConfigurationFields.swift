import JSON

/// Typed, range-checked access to the fields of one object in a configuration file.
///
/// A field that is absent takes its default, and so does a `null` where `null` means nothing. Every
/// error names file and field.
struct ConfigurationFields {
    let path: String
    /// Where the object is in the document: `text_config.`, or nothing at the top.
    let prefix: String
    let object: JSONObject

    func has(_ field: String) -> Bool { value(field) != nil }

    func value(_ field: String) -> JSONValue? {
        guard let value = object[field], value != .null else { return nil }
        return value
    }

    func integer(
        _ field: String, default standard: Int?, in range: ClosedRange<Int>,
        nullable: Bool = false
    ) throws(EncoderError) -> Int {
        let expected = "a whole number from \(range.lowerBound) to \(range.upperBound)"
        guard let value = nullable ? value(field) : object[field] else {
            guard let standard else { throw fault(field, expected, "none") }
            return standard
        }
        guard let number = value.intValue, range.contains(number) else {
            throw fault(field, expected, value.text())
        }
        return number
    }

    func number(
        _ field: String, default standard: Double, in range: ClosedRange<Double>
    ) throws(EncoderError) -> Double {
        guard let value = object[field] else { return standard }
        guard let number = value.doubleValue, range.contains(number) else {
            throw fault(
                field, "a number from \(range.lowerBound) to \(range.upperBound)", value.text())
        }
        return number
    }

    func text(_ field: String, default standard: String) throws(EncoderError) -> String {
        guard let value = object[field] else { return standard }
        guard let text = value.stringValue else { throw fault(field, "text", value.text()) }
        return text
    }

    func flag(_ field: String, default standard: Bool) throws(EncoderError) -> Bool {
        guard let value = value(field) else { return standard }
        guard let flag = value.boolValue else { throw fault(field, "true or false", value.text()) }
        return flag
    }

    /// The fields of a nested object; `nil` when it is absent.
    func fields(_ field: String) throws(EncoderError) -> ConfigurationFields? {
        guard let value = value(field) else { return nil }
        guard let object = value.objectValue else { throw fault(field, "an object", value.kind) }
        return ConfigurationFields(path: path, prefix: prefix + field + ".", object: object)
    }

    /// The side of a square given as one number or as two equal ones.
    func side(
        _ field: String, default standard: Int, in range: ClosedRange<Int>
    ) throws(EncoderError) -> Int {
        guard let sides = value(field)?.arrayValue else {
            return try integer(field, default: standard, in: range)
        }
        guard sides.count == 2, sides[0] == sides[1], let side = sides[0].intValue,
            range.contains(side)
        else {
            throw unsupported(
                field, "a square of side \(range.lowerBound) to \(range.upperBound)",
                JSONValue.array(sides).text())
        }
        return side
    }

    func fault(_ field: String, _ expected: String, _ actual: String) -> EncoderError {
        .configuration(path: path, field: prefix + field, expected: expected, actual: actual)
    }

    /// For a value that is right in itself but that no tower of this build computes.
    func unsupported(_ field: String, _ expected: String, _ actual: String) -> EncoderError {
        .unsupported(
            what: "\(path), field \"\(prefix)\(field)\"", expected: expected, actual: actual)
    }
}

/// The ranges in which sizes from outside are believed.
enum ConfigurationLimits {
    static let width = 1...16_384
    static let layers = 1...256
    static let heads = 1...1_024
    static let mlpWidth = 1...131_072
    static let vocabulary = 3...4_194_304
    static let context = 3...16_384
    static let image = 1...8_192
    /// Patches and class token: attention is quadratic in them.
    static let tokens = 2...16_385
    static let eps = 0.0...0.1
    static let token = 0...Int(Int32.max)
}
