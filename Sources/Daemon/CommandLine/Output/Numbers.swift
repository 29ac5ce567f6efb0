package import IPC
package import JSON

/// Numbers as the formats write them.
package enum Numbers {
    /// The shortest decimal that reads back to the same `Float`.
    package static func exact(_ value: Float) -> String { value.description }

    /// The same for JSON; `null` for what JSON has no number for.
    package static func json(_ value: Float) -> JSONValue {
        guard value.isFinite, let number = Double(value.description) else { return .null }
        return .number(number)
    }

    /// A fixed number of digits after the point, for tables.
    package static func fixed(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite, value.magnitude < 1e15 else { return "\(value)" }
        var scale = 1.0
        for _ in 0..<digits { scale *= 10 }
        let scaled = (value.magnitude * scale).rounded(.toNearestOrAwayFromZero)
        guard scaled < 9e18 else { return "\(value)" }
        let units = Int(scaled)
        let sign = value < 0 && units > 0 ? "-" : ""
        guard digits > 0 else { return "\(sign)\(units)" }
        let fraction = String(units % Int(scale))
        let zeros = String(repeating: "0", count: digits - fraction.count)
        return "\(sign)\(units / Int(scale)).\(zeros)\(fraction)"
    }

    package static func fixed(_ value: Float, _ digits: Int) -> String {
        fixed(Double(value), digits)
    }

    package static func percent(_ value: Float) -> String {
        fixed(Double(value) * 100, 1) + " %"
    }
}

extension Reply {
    /// The values of an FP32 output, by name.
    ///
    /// - Throws: `ReplyError` when the reply has no such output, or not as the protocol says.
    package func tensor(_ name: String) throws(ReplyError) -> (values: [Float], shape: [Int]) {
        guard let output = outputs.first(where: { $0.header.name == name }) else {
            throw ReplyError("it has no output \"\(name)\"")
        }
        guard output.header.datatype == .fp32 else {
            throw ReplyError("output \"\(name)\" is \(output.header.datatype.rawValue), not FP32")
        }
        guard output.header.byteCount == output.frame.count else {
            throw ReplyError("output \"\(name)\" is not as long as its shape says")
        }
        let values = output.frame.withUnsafeBytes { bytes in
            (0..<bytes.count / 4).map { index in
                Float(
                    bitPattern: UInt32(
                        littleEndian: bytes.loadUnaligned(
                            fromByteOffset: 4 * index, as: UInt32.self)))
            }
        }
        return (values, output.header.shape)
    }

    /// The rows of an FP32 output [count, width].
    ///
    /// - Parameter width: `nil` for any.
    package func rows(
        _ name: String, count: Int, width: Int? = nil
    ) throws(ReplyError) -> [[Float]] {
        let (values, shape) = try tensor(name)
        guard shape.count == 2, shape[0] == count, width == nil || shape[1] == width else {
            throw ReplyError(
                "output \"\(name)\" has shape \(shape), expected "
                    + "[\(count), \(width.map(String.init) ?? "D")]")
        }
        return (0..<count).map { Array(values[$0 * shape[1]..<($0 + 1) * shape[1]]) }
    }
}

/// A reply that is not what the protocol promises for the operation.
package struct ReplyError: Error, Equatable, Sendable, CustomStringConvertible {
    package let reason: String
    package init(_ reason: String) { self.reason = reason }
    package var description: String { "the reply cannot be used: \(reason)" }
}
