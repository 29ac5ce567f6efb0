import JSON

/// The forms in which configurations give a size.
enum ConfiguredSize {
    case edge(Int)
    case exact(height: Int, width: Int)
    case shortest(Int)
    case bounded(shortest: Int, longest: Int)

    /// What `size` means to transformers' CLIP: a lone integer is the shorter side.
    var resize: ImagePreprocessing.Resize {
        switch self {
        case .edge(let edge), .shortest(let edge): return .shortest(edge: edge)
        case .exact(let height, let width): return .squash(height: height, width: width)
        case .bounded(let shortest, let longest):
            return .bounded(shortest: shortest, longest: longest)
        }
    }
}

/// The members of one object of a configuration, each checked as it is taken. A null member
/// counts as missing.
struct PreprocessingFields {
    let object: JSONObject
    let path: String
    let prefix: String

    init(_ value: JSONValue, path: String, prefix: String) throws(EncoderError) {
        guard let object = value.objectValue else {
            throw .configuration(
                path: path, field: prefix.isEmpty ? "(root)" : String(prefix.dropLast()),
                expected: "an object", actual: value.kind)
        }
        self.object = object
        self.path = path
        self.prefix = prefix
    }

    func fault(_ field: String, _ expected: String, _ actual: String) -> EncoderError {
        .configuration(
            path: path, field: prefix + field, expected: expected, actual: actual)
    }

    private func member(_ name: String) -> JSONValue? {
        guard let value = object[name], value != .null else { return nil }
        return value
    }

    func nested(_ name: String) throws(EncoderError) -> PreprocessingFields? {
        guard let value = member(name) else { return nil }
        return try PreprocessingFields(value, path: path, prefix: "\(prefix)\(name).")
    }

    func bool(_ name: String) throws(EncoderError) -> Bool? {
        guard let value = member(name) else { return nil }
        guard let bool = value.boolValue else {
            throw fault(name, "true or false", value.kind)
        }
        return bool
    }

    func string(_ name: String) throws(EncoderError) -> String? {
        guard let value = member(name) else { return nil }
        guard let string = value.stringValue else {
            throw fault(name, "a string", value.kind)
        }
        return string
    }

    func integer(_ name: String, in range: ClosedRange<Int>) throws(EncoderError) -> Int? {
        guard let value = member(name) else { return nil }
        return try integer(value, name, in: range)
    }

    private func integer(
        _ value: JSONValue, _ name: String, in range: ClosedRange<Int>
    ) throws(EncoderError) -> Int {
        let expected = "an integer from \(range.lowerBound) to \(range.upperBound)"
        guard let number = value.intValue else {
            throw fault(name, expected, value.doubleValue.map { "\($0)" } ?? value.kind)
        }
        guard range.contains(number) else { throw fault(name, expected, "\(number)") }
        return number
    }

    func number(_ name: String) throws(EncoderError) -> Double? {
        guard let value = member(name) else { return nil }
        guard let number = value.doubleValue else { throw fault(name, "a number", value.kind) }
        return number
    }

    /// One number for each channel; a single number counts for all three.
    func triple(_ name: String) throws(EncoderError) -> [Float]? {
        guard let value = member(name) else { return nil }
        let values = value.arrayValue ?? [value, value, value]
        guard values.count == 3 else {
            throw fault(name, "3 numbers", "\(values.count)")
        }
        var result: [Float] = []
        for value in values {
            guard let number = value.doubleValue, Float(number).isFinite else {
                throw fault(name, "3 finite numbers", value.kind)
            }
            result.append(Float(number))
        }
        return result
    }

    func divisors(_ name: String) throws(EncoderError) -> [Float]? {
        let values = try triple(name)
        if let values, let value = values.first(where: { $0 <= 0 || (1 / $0).isInfinite }) {
            throw fault(name, "3 positive numbers", "\(value)")
        }
        return values
    }

    func size(_ name: String) throws(EncoderError) -> ConfiguredSize? {
        guard let value = member(name) else { return nil }
        let sides = 1...ImagePreprocessing.maximumSize
        switch value {
        case .array(let values):
            guard values.count == 2 else {
                throw fault(name, "[height, width]", "\(values.count) values")
            }
            return .exact(
                height: try integer(values[0], "\(name)[0]", in: sides),
                width: try integer(values[1], "\(name)[1]", in: sides))
        case .object(let object):
            func side(_ key: String) throws(EncoderError) -> Int? {
                guard let value = object[key], value != .null else { return nil }
                return try integer(value, "\(name).\(key)", in: sides)
            }
            let (height, width) = (try side("height"), try side("width"))
            let (shortest, longest) = (try side("shortest_edge"), try side("longest_edge"))
            switch (height, width, shortest, longest) {
            case (let height?, let width?, nil, nil):
                return .exact(height: height, width: width)
            case (nil, nil, let shortest?, nil):
                return .shortest(shortest)
            case (nil, nil, let shortest?, let longest?):
                return .bounded(shortest: shortest, longest: longest)
            default:
                throw fault(
                    name,
                    "{\"shortest_edge\"}, {\"shortest_edge\", \"longest_edge\"} or "
                        + "{\"height\", \"width\"}",
                    "{\(object.keys.map { "\"\($0)\"" }.joined(separator: ", "))}")
            }
        default:
            return .edge(try integer(value, name, in: sides))
        }
    }
}
