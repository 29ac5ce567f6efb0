import Encoders
import Glibc
import JSON
import Testing

/// What a reference library computed with a checkpoint: `expected.json` and `expected.safetensors`
/// beside it, as Tests/Generators/models.py writes them.
struct Expected {
    let folder: String
    let tensors: SafetensorsFile
    /// Rows from the start to the end token, and what pads them.
    let tokens: [[Int32]]
    let pad: Int32
    let context: Int

    init(folder: String) throws {
        self.folder = folder
        let path = folder + "/expected.safetensors"
        tensors = try SafetensorsFile(bytes: .map(path: path), path: path)
        let notes = try JSONValue.parse(Fixture.read(folder + "/expected.json"))
        tokens = (notes["tokens"]?.arrayValue ?? []).map { row in
            (row.arrayValue ?? []).compactMap { $0.intValue.flatMap(Int32.init(exactly:)) }
        }
        pad = notes["pad"]?.intValue.flatMap(Int32.init(exactly:)) ?? 0
        context = notes["context"]?.intValue ?? 0
    }

    func has(_ name: String) -> Bool { tensors.shape(of: name) != nil }

    func shape(_ name: String) throws -> [Int] {
        try #require(tensors.shape(of: name), "\(folder) has no \(name)")
    }

    func values(_ name: String) throws -> [Float] {
        try tensors.floats(name, shape: shape(name))
    }

    /// The tensor cut along its first dimension.
    func rows(_ name: String) throws -> [[Float]] {
        let count = try shape(name)[0]
        let values = try values(name)
        let size = values.count / count
        return (0..<count).map { Array(values[$0 * size..<($0 + 1) * size]) }
    }

    func padded(_ row: [Int32]) -> [Int32] {
        row + [Int32](repeating: pad, count: context - row.count)
    }
}

/// How far apart two arrays are.
struct Agreement: CustomStringConvertible {
    /// max |a − b| / max |b|.
    var relativeMaximum = 0.0
    var cosine = 1.0
    /// ‖a − b‖ / ‖b‖.
    var relativeLength = 0.0

    init() {}

    init(_ observed: [Float], _ expected: [Float]) {
        guard observed.count == expected.count, !expected.isEmpty else {
            (relativeMaximum, cosine, relativeLength) = (.infinity, -1, .infinity)
            return
        }
        var difference = 0.0
        var largest = 0.0
        var (oo, oe, ee, dd) = (0.0, 0.0, 0.0, 0.0)
        for (o, e) in zip(observed, expected) {
            let (o, e) = (Double(o), Double(e))
            // A NaN must not vanish in a maximum.
            difference = o.isFinite ? max(difference, abs(o - e)) : .infinity
            largest = max(largest, abs(e))
            oo += o * o
            oe += o * e
            ee += e * e
            dd += (o - e) * (o - e)
        }
        relativeMaximum = difference / largest
        cosine = oe / (oo * ee).squareRoot()
        relativeLength = (dd / ee).squareRoot()
    }

    /// The worse of both in every number.
    mutating func take(_ other: Agreement) {
        relativeMaximum = max(relativeMaximum, other.relativeMaximum)
        cosine = min(cosine, other.cosine)
        relativeLength = max(relativeLength, other.relativeLength)
    }

    var description: String {
        "max \(short(relativeMaximum)), 1 − cos \(short(1 - cosine)), L2 \(short(relativeLength))"
    }

    private func short(_ value: Double) -> String {
        guard value > 0, value.isFinite else { return "\(value)" }
        let exponent = Int(log10(value).rounded(.down))
        let mantissa = (value / pow(10, Double(exponent)) * 10).rounded() / 10
        return "\(mantissa)e\(exponent)"
    }
}
