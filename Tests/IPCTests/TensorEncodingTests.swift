import IPC
import Testing

@Suite struct TensorEncodingTests {
    @Test(arguments: [
        ([2, 3, 64, 64], Datatype.fp32, 98_304), ([1], .int64, 8), ([5], .uint8, 5),
        ([7, 2], .bf16, 28), ([7, 2], .fp16, 28), ([3], .int32, 12), ([], .fp32, 4),
        ([0, 5], .fp32, 0),
    ])
    func lengthIsShapeTimesSize(shape: [Int], datatype: Datatype, expected: Int) {
        #expect(
            TensorHeader(name: "x", datatype: datatype, shape: shape).byteCount == expected)
    }

    @Test func lengthsThatOverflowOrAreNegativeAreNone() {
        for shape in [[Int.max, 2], [1 << 31, 1 << 31, 4], [-1], [-1, -1]] {
            #expect(TensorHeader(name: "x", datatype: .fp32, shape: shape).byteCount == nil)
        }
        #expect(TensorHeader(name: "x", datatype: .bytes, shape: []).byteCount == nil)
    }

    /// Every half-precision value, and the midpoints between neighbours, against the definition:
    /// the nearest value, and on a tie the one whose last bit is zero.
    @Test func halfPrecisionRoundsToNearestEven() throws {
        try expectNearestEven(.fp16, exponentBits: 5, significandBits: 10)
    }

    @Test func bfloat16RoundsToNearestEven() throws {
        try expectNearestEven(.bf16, exponentBits: 8, significandBits: 7)
    }

    private func expectNearestEven(
        _ datatype: Datatype, exponentBits: Int, significandBits: Int
    ) throws {
        let infinity = UInt16((1 << exponentBits) - 1) << UInt16(significandBits)
        let magnitudes = try widen((0..<infinity).map { $0 }, datatype)
        var inputs: [Float] = []
        var expected: [UInt16] = []
        for pattern in 0..<Int(infinity) - 1 {
            let low = magnitudes[pattern]
            let high = magnitudes[pattern + 1]
            let middle = Float((Double(low) + Double(high)) / 2)
            let even = UInt16(pattern.isMultiple(of: 2) ? pattern : pattern + 1)
            inputs += [low, middle, middle.nextDown, middle.nextUp, -low, -middle]
            expected += [
                UInt16(pattern), even, UInt16(pattern), UInt16(pattern + 1),
                UInt16(pattern) | 0x8000, even | 0x8000,
            ]
        }
        // The smallest subnormals of bfloat16 lie where a float's own spacing leaves no room for
        // neighbours of the midpoint; there the midpoint is still exact.
        let narrowed = try patterns(inputs, datatype)
        #expect(narrowed == expected)
    }

    @Test(arguments: [Datatype.fp16, .bf16])
    func infinitiesOverflowAndNaNSurvive(datatype: Datatype) throws {
        let values: [Float] = [.infinity, -.infinity, .greatestFiniteMagnitude, .nan, -0.0]
        let back = try TensorEncoding.floats(
            TensorEncoding.tensor(name: "x", shape: [5], values: values, as: datatype))
        #expect(back[0] == .infinity)
        #expect(back[1] == -.infinity)
        #expect(back[2] == .infinity)
        #expect(back[3].isNaN)
        #expect(back[4] == 0 && back[4].sign == .minus)
        let loud = try patterns([Float(bitPattern: 0x7f80_0001)], datatype)
        let widened = try widen(loud, datatype)
        #expect(widened[0].isNaN)
    }

    @Test func integersBecomeFloats() throws {
        func floats(_ datatype: Datatype, _ frame: Frame) throws -> [Float] {
            try TensorEncoding.floats(
                Tensor(TensorHeader(name: "x", datatype: datatype, shape: [2]), frame))
        }
        #expect(try floats(.uint8, Frame([0, 255] as [UInt8])) == [0, 255])
        #expect(try floats(.int32, Frame([-1, 7] as [Int32])) == [-1, 7])
        #expect(try floats(.int64, Frame([-9, 1 << 40] as [Int64])) == [-9, 1_099_511_627_776])
    }

    @Test func floatsOfBytesOrOfHalfAnElementAreRefused() {
        let image = Tensor(name: "image", bytes: [1, 2, 3])
        #expect(throws: WireFault.self) { try TensorEncoding.floats(image) }
        let ragged = Tensor(TensorHeader(name: "x", datatype: .fp32, shape: [1]), bytes(5))
        #expect(throws: WireFault.self) { try TensorEncoding.floats(ragged) }
        #expect(throws: WireFault.self) {
            try TensorEncoding.tensor(name: "x", shape: [1], values: [1], as: .int32)
        }
    }

    private func patterns(_ values: [Float], _ datatype: Datatype) throws -> [UInt16] {
        let tensor = try TensorEncoding.tensor(
            name: "x", shape: [values.count], values: values, as: datatype)
        return tensor.frame.withUnsafeBytes { bytes in
            (0..<values.count).map {
                bytes.loadUnaligned(fromByteOffset: 2 * $0, as: UInt16.self)
            }
        }
    }

    private func widen(_ patterns: [UInt16], _ datatype: Datatype) throws -> [Float] {
        try TensorEncoding.floats(
            Tensor(
                TensorHeader(name: "x", datatype: datatype, shape: [patterns.count]),
                Frame(patterns)))
    }
}
