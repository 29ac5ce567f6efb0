import IPC
import JSON

/// Reads an operation's parameters with their types, and remembers which were asked for, so that
/// unknown ones can be reported.
struct ParameterReader {
    private let params: JSONObject
    /// What comes before a parameter's name in faults; for objects within parameters.
    let path: String
    private var known: Set<String> = []

    init(_ params: JSONObject, path: String = "") {
        self.params = params
        self.path = path
    }

    /// The parameters that nobody asked for.
    var unknownNames: [String] { params.keys.filter { !known.contains($0) } }

    /// A warning for each parameter that nobody asked for.
    var unknownParameterWarnings: [String] {
        unknownNames.map { "unknown parameter \"\($0.prefix(100))\" ignored" }
    }

    func has(_ name: String) -> Bool { params[name] != nil && params[name] != .null }

    private mutating func value(_ name: String) -> JSONValue? {
        known.insert(name)
        guard let value = params[name], value != .null else { return nil }
        return value
    }

    mutating func string(_ name: String) throws(WireFault) -> String? {
        guard let value = value(name) else { return nil }
        guard let string = value.stringValue else {
            throw .parameter(path + name, expected: "a string", actual: value.kind)
        }
        return string
    }

    mutating func requiredString(_ name: String) throws(WireFault) -> String {
        guard let string = try string(name) else {
            throw .parameter(path + name, expected: "a string", actual: "nothing")
        }
        return string
    }

    mutating func bool(_ name: String, default fallback: Bool) throws(WireFault) -> Bool {
        guard let value = value(name) else { return fallback }
        guard let bool = value.boolValue else {
            throw .parameter(path + name, expected: "true or false", actual: value.kind)
        }
        return bool
    }

    mutating func positiveInteger(_ name: String) throws(WireFault) -> Int? {
        guard let value = value(name) else { return nil }
        guard let integer = value.intValue, integer > 0 else {
            let actual = value.doubleValue == nil ? value.kind : value.text()
            throw .parameter(path + name, expected: "a positive integer", actual: actual)
        }
        return integer
    }

    /// An integer in a range; `nil` when it is absent.
    mutating func integer(
        _ name: String, in range: ClosedRange<Int>
    ) throws(WireFault) -> Int? {
        guard let value = value(name) else { return nil }
        guard let integer = value.intValue, range.contains(integer) else {
            let actual = value.doubleValue == nil ? value.kind : value.text()
            throw .parameter(
                path + name, expected: "an integer in \(range.lowerBound)…\(range.upperBound)",
                actual: actual)
        }
        return integer
    }

    /// A number in a range; `nil` when it is absent.
    mutating func number(
        _ name: String, in range: ClosedRange<Double>
    ) throws(WireFault) -> Double? {
        guard let value = value(name) else { return nil }
        guard let number = value.doubleValue, range.contains(number) else {
            let actual = value.doubleValue == nil ? value.kind : value.text()
            throw .parameter(
                path + name, expected: "a number in \(range.lowerBound)…\(range.upperBound)",
                actual: actual)
        }
        return number
    }

    /// An object; `nil` when it is absent.
    mutating func object(_ name: String) throws(WireFault) -> JSONObject? {
        guard let value = value(name) else { return nil }
        guard let object = value.objectValue else {
            throw .parameter(path + name, expected: "an object", actual: value.kind)
        }
        return object
    }

    /// A list of objects with at most `limit` entries; `nil` when it is absent.
    mutating func objects(_ name: String, limit: Int) throws(WireFault) -> [JSONObject]? {
        guard let value = value(name) else { return nil }
        guard let array = value.arrayValue else {
            throw .parameter(path + name, expected: "an array of objects", actual: value.kind)
        }
        guard array.count <= limit else {
            throw WireFault(
                .tooLarge, "expected at most \(limit) entries, found \(array.count)",
                field: "params.\(name)")
        }
        var objects: [JSONObject] = []
        for (index, element) in array.enumerated() {
            guard let object = element.objectValue else {
                throw .parameter("\(name)[\(index)]", expected: "an object", actual: element.kind)
            }
            objects.append(object)
        }
        return objects
    }

    /// One of an enumeration's raw values.
    mutating func choice<Choice: RawRepresentable & CaseIterable>(
        _ name: String, default fallback: Choice
    ) throws(WireFault) -> Choice where Choice.RawValue == String {
        guard let value = value(name) else { return fallback }
        let names = Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
        guard let string = value.stringValue else {
            throw .parameter(path + name, expected: "one of \(names)", actual: value.kind)
        }
        guard let choice = Choice(rawValue: string) else {
            throw .parameter(
                path + name, expected: "one of \(names)", actual: "\"\(string.prefix(100))\"")
        }
        return choice
    }

    /// One of an enumeration's raw values; `nil` when it is absent.
    mutating func optionalChoice<Choice: RawRepresentable & CaseIterable>(
        _ name: String
    ) throws(WireFault) -> Choice? where Choice.RawValue == String {
        guard has(name), let first = Choice.allCases.first else {
            known.insert(name)
            return nil
        }
        return try choice(name, default: first)
    }

    /// A list of strings with between 1 and `limit` entries; `nil` when it is absent.
    mutating func strings(_ name: String, limit: Int) throws(WireFault) -> [String]? {
        guard let value = value(name) else { return nil }
        guard let array = value.arrayValue else {
            throw .parameter(path + name, expected: "an array of strings", actual: value.kind)
        }
        try checkCount(array.count, name, limit)
        var strings: [String] = []
        strings.reserveCapacity(array.count)
        for (index, element) in array.enumerated() {
            guard let string = element.stringValue else {
                throw .parameter("\(name)[\(index)]", expected: "a string", actual: element.kind)
            }
            strings.append(string)
        }
        return strings
    }

    mutating func requiredStrings(_ name: String, limit: Int) throws(WireFault) -> [String] {
        guard let strings = try strings(name, limit: limit) else {
            throw .parameter(path + name, expected: "an array of strings", actual: "nothing")
        }
        return strings
    }

    /// A list of finite numbers; `nil` when it is absent.
    mutating func numbers(_ name: String, limit: Int) throws(WireFault) -> [Double]? {
        guard let value = value(name) else { return nil }
        guard let array = value.arrayValue else {
            throw .parameter(path + name, expected: "an array of numbers", actual: value.kind)
        }
        try checkCount(array.count, name, limit)
        var numbers: [Double] = []
        for (index, element) in array.enumerated() {
            guard let number = element.doubleValue else {
                throw .parameter("\(name)[\(index)]", expected: "a number", actual: element.kind)
            }
            numbers.append(number)
        }
        return numbers
    }

    private func checkCount(_ count: Int, _ name: String, _ limit: Int) throws(WireFault) {
        if count == 0 {
            throw .parameter(path + name, expected: "at least one entry", actual: "an empty array")
        }
        if count > limit {
            throw WireFault(
                .tooLarge, "expected at most \(limit) entries, found \(count)",
                field: "params.\(name)")
        }
    }
}
