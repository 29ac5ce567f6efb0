import CKernels
import Encoders
import Testing

/// Packing once more, number by number, as the layout is described beside `gk_packed`.
private struct PackReference {
    var data: [UInt8]
    var scales: [Float]
    var sums: [Int32]

    init(
        _ w: [Float], outputStride: Int, inputStride: Int, inputs: Int, outputs: Int,
        element: Element
    ) {
        let group = 4 / element.bytes
        let depth = (inputs + group - 1) / group
        let panels = (outputs + 31) / 32
        data = [UInt8](repeating: 0, count: panels * depth * 32 * 4)
        scales = [Float](repeating: 0, count: outputs)
        sums = [Int32](repeating: 0, count: outputs)
        for output in 0..<outputs {
            let row = (0..<inputs).map { w[output * outputStride + $0 * inputStride] }
            scales[output] = row.reduce(0) { max($0, abs($1)) } / 127
            let factor = scales[output] > 0 ? 1 / scales[output] : 0
            for (input, value) in row.enumerated() {
                let panel = output / 32 * depth + input / group
                let at = ((panel * 32 + output % 32) * group + input % group) * element.bytes
                switch element {
                case .f32: put(value.bitPattern, at)
                case .bf16: put(KernelReference.bfloat16(value), at)
                case .s8:
                    let q = min(max((value * factor).rounded(.toNearestOrEven), -127), 127)
                    put(Int8(q), at)
                    sums[output] += Int32(q)
                }
            }
        }
    }

    private mutating func put(_ value: some FixedWidthInteger, _ at: Int) {
        withUnsafeBytes(of: value.littleEndian) { bytes in
            for (index, byte) in bytes.enumerated() { data[at + index] = byte }
        }
    }
}

@Suite struct PackTests {
    struct Shape: Sendable, CustomTestStringConvertible {
        let outputs, inputs: Int
        var testDescription: String { "\(outputs)×\(inputs)" }
    }
    /// Around squares of sixteen, panels of 32 and four panels at once; and some at random.
    static let shapes: [Shape] = {
        var shapes = [(1, 1), (16, 16), (32, 64), (33, 17), (128, 48), (129, 50), (160, 31)]
            .map { Shape(outputs: $0.0, inputs: $0.1) }
        var random = TowerRandom(20)
        for _ in 0..<20 {
            shapes.append(
                Shape(
                    outputs: Int.random(in: 1...200, using: &random),
                    inputs: Int.random(in: 1...200, using: &random)))
        }
        return shapes
    }()

    @Test(arguments: shapes, [Element.f32, .bf16, .s8])
    func everyNumberIsWhereTheLayoutHasIt(shape: Shape, element: Element) {
        let (outputs, inputs) = (shape.outputs, shape.inputs)
        var random = TowerRandom(outputs * 1000 + inputs)
        var w = random.floats(3 * outputs * inputs, scale: 2)
        // Halves of a step, where rounding to even shows; and an output of zeros.
        for index in w.indices where index % 7 == 0 { w[index] = Float(index % 31) / 8 - 2 }
        for index in 0..<inputs { w[index] = 0 }
        // Rows as they are, the transpose, and numbers that are nobody's neighbours.
        for (outputStride, inputStride) in [(inputs, 1), (1, outputs), (3 * inputs, 3)] {
            let expected = PackReference(
                w, outputStride: outputStride, inputStride: inputStride, inputs: inputs,
                outputs: outputs, element: element)
            let bytes = gk_packed_bytes(element.rawValue, inputs, outputs)
            #expect(bytes == expected.data.count)
            // Aligned as a product wants it; what stood there before must not show.
            let data = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes, alignment: 64)
            defer { data.deallocate() }
            for index in data.indices { data[index] = 0xA5 }
            var scales = [Float](repeating: 0, count: outputs)
            var sums = [Int32](repeating: 0, count: outputs)
            gk_pack(
                w, outputStride, inputStride, inputs, outputs, element.rawValue, data.baseAddress,
                &scales, &sums)
            #expect(Array(data) == expected.data)
            guard element == .s8 else { continue }
            #expect(scales == expected.scales)
            #expect(sums == expected.sums)
            var unpacked = [Float](repeating: 0, count: outputs * inputs)
            scales.withUnsafeBufferPointer { scales in
                sums.withUnsafeBufferPointer { sums in
                    var packed = gk_packed(
                        element: element.rawValue, inputs: inputs, outputs: outputs,
                        data: data.baseAddress, scales: scales.baseAddress, sums: sums.baseAddress)
                    gk_unpack(&packed, &unpacked, inputs, 1)
                }
            }
            for output in 0..<outputs {
                for input in 0..<inputs {
                    let value = w[output * outputStride + input * inputStride]
                    let error = abs(unpacked[output * inputs + input] - value)
                    #expect(error <= 0.501 * scales[output])
                }
            }
        }
    }
}
