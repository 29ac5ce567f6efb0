import Encoders

/// A seeded source of test values (SplitMix64), so that a failure can be repeated from its seed.
struct TowerRandom: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: Int) { state = UInt64(truncatingIfNeeded: seed) }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// `count` values, uniform in −scale…scale around `center`.
    mutating func floats(_ count: Int, scale: Float = 1, center: Float = 0) -> [Float] {
        (0..<count).map { _ in center + Float.random(in: -scale...scale, using: &self) }
    }
}

/// The largest absolute difference, relative to the largest absolute value expected.
func relativeError(_ actual: [Float], _ expected: [Double]) -> Double {
    guard actual.count == expected.count else { return .infinity }
    var error = 0.0
    var scale = 1e-30
    for (a, e) in zip(actual, expected) {
        guard a.isFinite else { return .infinity }
        error = max(error, abs(Double(a) - e))
        scale = max(scale, abs(e))
    }
    return error / scale
}

/// A zeroed block that is never freed: a view does not keep its owner alive, and tests are short.
func block(rows: Int, columns: Int) -> Rows {
    let base = UnsafeMutablePointer<Float>.allocate(capacity: max(rows * columns, 1))
    base.initialize(repeating: 0, count: max(rows * columns, 1))
    return Rows(base, rows: rows, columns: columns)
}

func block(_ values: [Float], rows: Int, columns: Int) -> Rows {
    let block = block(rows: rows, columns: columns)
    block.copy(from: values)
    return block
}

/// A zeroed block of any element that is never freed.
func block(rows: Int, columns: Int, element: Element) -> Block {
    Unmanaged.passRetained(BlockBuffer(rows: rows, columns: columns, element: element))
        .takeUnretainedValue().view
}

/// fp32 values as a product's left factor of any element; its memory is never freed.
final class OperandMemory {
    private let floats: Block
    private let quantized: Unmanaged<QuantizedBuffer>?
    let operand: Operand

    init(_ values: [Float], rows: Int, columns: Int, _ element: Element) {
        floats = Block(block(values, rows: rows, columns: columns))
        switch element {
        case .f32:
            quantized = nil
            operand = Operand(floats)
        case .bf16:
            let narrow = block(rows: rows, columns: columns, element: .bf16)
            narrow.narrow(from: floats.floats)
            quantized = nil
            operand = Operand(narrow)
        case .s8:
            let buffer = QuantizedBuffer(rows: rows, columns: columns)
            quantized = Unmanaged.passRetained(buffer)
            operand = buffer.quantize(floats)
        }
    }
}

extension Block {
    /// The values as fp32, row after row.
    func array() -> [Float] {
        (0..<rows).flatMap { row in
            (0..<columns).map { column -> Float in
                let start = base + (row * stride + column) * element.bytes
                switch element {
                case .f32: return start.load(as: Float.self)
                case .bf16:
                    return Float(bitPattern: UInt32(start.load(as: UInt16.self)) << 16)
                case .s8: return Float(Int(start.load(as: UInt8.self)) - 128)
                }
            }
        }
    }
}
