import Encoders
import Guidance
import JSON
import Testing

/// What Tests/Generators/steering.py computed by PyTorch's autograd.
enum SteeringFixtures {
    /// As in the generator.
    static let scale: Float = 14

    static func cases(_ kind: String) throws -> [Case] {
        let parts = #filePath.split(separator: "/").dropLast()
        let path = "/" + parts.joined(separator: "/") + "/Fixtures/steering.json"
        let bytes = try MappedBytes.map(path: path).withUnsafeBytes { Array($0) }
        let found = (try JSONValue.parse(bytes).arrayValue ?? []).map { Case(value: $0) }
            .filter { $0.text("kind") == kind }
        try #require(!found.isEmpty)
        return found
    }

    struct Case {
        let value: JSONValue

        func text(_ key: String) -> String { value.objectValue?[key]?.stringValue ?? "" }

        func number(_ key: String) -> Double { value.objectValue?[key]?.doubleValue ?? .nan }

        func numbers(_ key: String) -> [Double] {
            (value.objectValue?[key]?.arrayValue ?? []).compactMap(\.doubleValue)
        }

        func floats(_ key: String) -> [Float] { numbers(key).map { Float($0) } }

        func rows(_ key: String, width: Int) -> [[Float]] {
            let values = floats(key)
            return stride(from: 0, to: values.count, by: width).map {
                Array(values[$0..<$0 + width])
            }
        }

        func shape(_ key: String) -> ImageShape {
            let sizes = numbers(key).map { Int($0) }
            return ImageShape(channels: sizes[0], height: sizes[1], width: sizes[2])
        }
    }
}

/// The largest difference, relative to the largest expected value (or 1).
func worst(_ observed: [Float], _ expected: [Double]) -> Double {
    guard observed.count == expected.count else { return .infinity }
    let scale = expected.reduce(1) { max($0, abs($1)) }
    return zip(observed, expected).reduce(0) { max($0, abs(Double($1.0) - $1.1)) } / scale
}
