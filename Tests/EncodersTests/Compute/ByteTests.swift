import CKernels
import Encoders
import Testing

/// A row in bytes once more, as `gk_quantize_rows` says.
private struct RowBytes: Equatable {
    var bytes: [UInt8] = []
    var scale: Float
    var zero: Int32

    init(_ row: ArraySlice<Float>, stride: Int) {
        let below = -row.reduce(0, min)
        let range = below + row.reduce(0, max)
        let factor = range > 0 ? 254 / range : 0
        scale = range / 254
        let zero = (below * factor).rounded(.toNearestOrEven)
        self.zero = Int32(zero)
        // The sum is exact in double precision, so it is rounded once.
        bytes = row.map {
            UInt8((Double($0 * factor) + Double(zero)).rounded(.toNearestOrEven))
        }
        bytes += [UInt8](repeating: UInt8(zero), count: stride - row.count)
    }

    init(bytes: [UInt8], _ scale: gk_row_scale) {
        self.bytes = bytes
        self.scale = scale.scale
        zero = scale.zero
    }

    func value(_ index: Int) -> Float { Float(Int32(bytes[index]) - zero) * scale }
}

/// Rows of the kinds that activations have, and of those that they should never have.
private enum RowKind: CaseIterable {
    case even, activated, positive, negative, zeros, spike, halves

    func values(_ count: Int, _ random: inout TowerRandom) -> [Float] {
        switch self {
        case .even: random.floats(count, scale: 5)
        case .activated:
            random.floats(count, scale: 4)
                .map { Float(KernelReference.quickGELU(Double($0))) }
        case .positive: random.floats(count, scale: 1, center: 1000)
        case .negative: random.floats(count, scale: 1, center: -7)
        case .zeros: [Float](repeating: 0, count: count)
        case .spike: random.floats(count, scale: 1e-3).dropLast() + [1e6]
        // Halves of a step at both ends, where every rounding is a tie.
        case .halves: (0..<count).map { Float([-50.5, 203.5, 0.5, 1.5, -0.5, 0][$0 % 6]) }
        }
    }
}

@Suite struct ByteTests {
    static let widths = [1, 2, 6, 7, 15, 16, 17, 31, 32, 33, 50, 97, 257, 768]

    /// Rows of every kind, quantised; and the same as plain code has them.
    private static func quantized(
        width: Int, seed: Int, asHalves: Bool
    ) -> (values: [[Float]], rows: [RowBytes], expected: [RowBytes]) {
        var random = TowerRandom(seed)
        let stride = (width + 3) / 4 * 4
        var x = RowKind.allCases.flatMap { $0.values(width, &random) }
        let rows = RowKind.allCases.count
        var halves = x.map(KernelReference.bfloat16)
        if asHalves { x = halves.map { Float(bitPattern: UInt32($0) << 16) } }
        var y = [UInt8](repeating: 7, count: rows * stride)
        var scales = [gk_row_scale](repeating: gk_row_scale(scale: -1, zero: -1), count: rows)
        func quantize(_ memory: UnsafeMutableRawBufferPointer, _ element: Element) {
            gk_quantize_rows(
                nil,
                gk_view(base: memory.baseAddress, stride: width, element: element.rawValue), rows,
                width, &y, stride, &scales)
        }
        if asHalves {
            halves.withUnsafeMutableBytes { quantize($0, .bf16) }
        } else {
            x.withUnsafeMutableBytes { quantize($0, .f32) }
        }
        let values = (0..<rows).map { Array(x[$0 * width..<($0 + 1) * width]) }
        return (
            values,
            (0..<rows).map {
                RowBytes(bytes: Array(y[$0 * stride..<($0 + 1) * stride]), scales[$0])
            },
            values.map { RowBytes($0[...], stride: stride) }
        )
    }

    @Test(arguments: widths, [false, true])
    func aRowsBytesReachFromItsLeastToItsGreatest(width: Int, asHalves: Bool) {
        let found = Self.quantized(width: width, seed: width, asHalves: asHalves)
        for (kind, (values, row)) in zip(RowKind.allCases, zip(found.values, found.rows)) {
            #expect((0...254).contains(row.zero), "\(kind)")
            for (index, value) in values.enumerated() {
                #expect(abs(row.value(index) - value) <= 0.501 * row.scale, "\(kind) \(index)")
                // Zero is a byte of its own.
                if value == 0 { #expect(row.value(index) == 0, "\(kind) \(index)") }
            }
        }
    }

    @Test(arguments: widths, [false, true])
    func bytesAreTheSameOnEveryInstructionSet(width: Int, asHalves: Bool) {
        for seed in 0..<20 {
            let found = Self.quantized(width: width, seed: seed, asHalves: asHalves)
            for (kind, (row, expected)) in zip(
                RowKind.allCases, zip(found.rows, found.expected))
            {
                #expect(row == expected, "\(kind), seed \(seed)")
            }
        }
    }

    @Test func aRowThatIsNotFiniteHarmsNoOther() {
        for bad in [Float.nan, .infinity, -.infinity, .greatestFiniteMagnitude] {
            let good: [Float] = [1, -2, 3, 0]
            var x = good + [bad, -bad, 1, 0] + good
            var y = [UInt8](repeating: 7, count: 12)
            var scales = [gk_row_scale](repeating: gk_row_scale(), count: 3)
            x.withUnsafeMutableBytes { x in
                gk_quantize_rows(
                    nil, gk_view(base: x.baseAddress, stride: 4, element: Int32(GK_F32)), 3, 4, &y,
                    4, &scales)
            }
            #expect((0...255).contains(scales[1].zero))
            let expected = RowBytes(good[...], stride: 4)
            #expect(RowBytes(bytes: Array(y[0..<4]), scales[0]) == expected)
            #expect(RowBytes(bytes: Array(y[8..<12]), scales[2]) == expected)
        }
    }

    struct Size: Sendable, CustomTestStringConvertible {
        let inputs, outputs: Int
        var testDescription: String { "\(outputs)×\(inputs)" }
    }
    static let sizes = [(1, 1), (3, 5), (33, 17), (64, 32), (97, 131), (770, 40), (3072, 33)]
        .map { Size(inputs: $0.0, outputs: $0.1) }

    /// Against the numbers that both factors' bytes stand for, in double precision: what is left is
    /// rounding in fp32, whatever the zero points.
    @Test(arguments: sizes) func aProductIsThatOfTheNumbersItsBytesStandFor(size: Size) {
        let (inputs, outputs) = (size.inputs, size.outputs)
        var random = TowerRandom(inputs * 1000 + outputs)
        let w = random.floats(inputs * outputs, scale: 0.3, center: 0.1)
        let bias = random.floats(outputs)
        let data = UnsafeMutableRawPointer.allocate(
            byteCount: gk_packed_bytes(Int32(GK_S8), inputs, outputs) + 64, alignment: 64)
        defer { data.deallocate() }
        var scales = [Float](repeating: 0, count: outputs)
        var sums = [Int32](repeating: 0, count: outputs)
        gk_pack(w, inputs, 1, inputs, outputs, Int32(GK_S8), data, &scales, &sums)

        let found = Self.quantized(width: inputs, seed: outputs, asHalves: false)
        let stride = (inputs + 3) / 4 * 4
        let rows = found.rows.count
        let bytes = found.rows.flatMap(\.bytes)
        let rowScales = found.rows.map { gk_row_scale(scale: $0.scale, zero: $0.zero) }
        var y = [Float](repeating: .nan, count: rows * outputs)
        var weights = [Float](repeating: 0, count: inputs * outputs)
        scales.withUnsafeBufferPointer { scales in
            sums.withUnsafeBufferPointer { sums in
                bias.withUnsafeBufferPointer { bias in
                    y.withUnsafeMutableBytes { y in
                        var packed = gk_packed(
                            element: Int32(GK_S8), inputs: inputs, outputs: outputs, data: data,
                            scales: scales.baseAddress, sums: sums.baseAddress)
                        gk_unpack(&packed, &weights, inputs, 1)
                        var epilogue = gk_epilogue()
                        epilogue.bias = bias.baseAddress
                        epilogue.y = gk_view(
                            base: y.baseAddress, stride: outputs, element: Int32(GK_F32))
                        gk_multiply(nil, &packed, bytes, stride, rowScales, rows, &epilogue)
                    }
                }
            }
        }
        for (index, row) in found.rows.enumerated() {
            let expected = (0..<outputs).map { output in
                (0..<inputs).reduce(Double(bias[output])) { sum, input in
                    sum + Double(row.value(input)) * Double(weights[output * inputs + input])
                }
            }
            let own = Array(y[index * outputs..<(index + 1) * outputs])
            #expect(relativeError(own, expected) < 3e-6, "row \(index)")
        }
    }
}
