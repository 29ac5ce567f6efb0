import CKernels
import Encoders
import Testing

/// Activations behind products whose results are bfloat16s: less exact than the others, within bounds
/// below the rounding that follows. A copy in fp32 shows them before it.
@Suite struct CoarseActivationTests {
    /// The epilogue alone: every value times 1, then its steps.
    private static func run(
        _ values: [Float], activation: Int32 = 0, slopeAt: [Float]? = nil, slope: Int32 = 0
    ) -> (exact: [Float], halves: [UInt16]) {
        let count = values.count
        let memory = UnsafeMutableRawBufferPointer.allocate(
            byteCount: gk_packed_bytes(Int32(GK_F32), 1, 1), alignment: 64)
        defer { memory.deallocate() }
        gk_pack([1], 1, 1, 1, 1, Int32(GK_F32), memory.baseAddress, nil, nil)
        var exact = [Float](repeating: 0, count: count)
        var halves = [UInt16](repeating: 0, count: count)
        var at = slopeAt ?? []
        exact.withUnsafeMutableBytes { exact in
            halves.withUnsafeMutableBytes { halves in
                at.withUnsafeMutableBytes { at in
                    var packed = gk_packed(
                        element: Int32(GK_F32), inputs: 1, outputs: 1, data: memory.baseAddress,
                        scales: nil, sums: nil)
                    var epilogue = gk_epilogue()
                    epilogue.activation = activation
                    epilogue.y = gk_view(
                        base: halves.baseAddress, stride: 1, element: Int32(GK_BF16))
                    epilogue.copy = gk_view(
                        base: exact.baseAddress, stride: 1, element: Int32(GK_F32))
                    if slopeAt != nil {
                        epilogue.slope = gk_view(
                            base: at.baseAddress, stride: 1, element: Int32(GK_F32))
                        epilogue.slope_activation = slope
                    }
                    gk_multiply(nil, &packed, values, 1, nil, count, &epilogue)
                }
            }
        }
        return (exact, halves)
    }

    private static func kernel(_ activation: Activation) -> Int32 {
        switch activation {
        case .quickGELU: Int32(GK_QUICK_GELU)
        case .gelu: Int32(GK_GELU)
        case .geluTanh: Int32(GK_GELU_TANH)
        }
    }

    /// From −40 to 40, dense near 0, and what no weights should give.
    private static let values: [Float] = {
        var values = (0..<40_000).map { index in
            let u = Float(index) / 20_000 - 1
            return 40 * u * abs(u)
        }
        values += [-1e6, -1e4, -100, 0, 100, 1e4, 1e6]
        return values
    }()

    @Test(arguments: Activation.allCases) func valuesAreWithinTheirBound(activation: Activation) {
        let (exact, halves) = Self.run(Self.values, activation: Self.kernel(activation))
        var worst = 0.0
        for (x, y) in zip(Self.values, exact) {
            let expected = KernelReference.activation(activation, Double(x))
            // A sigmoid ends at 2⁻¹²⁶: next to nothing, but not relative to what it should be.
            let error = abs(Double(y) - expected)
            worst = max(worst, error / max(abs(expected), 0x1p-90))
        }
        #expect(worst < 0x1p-11)
        #expect(halves == exact.map(KernelReference.bfloat16).map(Self.withoutSubnormals))
    }

    @Test(arguments: Activation.allCases) func slopesAreWithinTheirBound(activation: Activation) {
        let at = Self.values.filter { abs($0) <= 1e4 }
        let ones = [Float](repeating: 1, count: at.count)
        let (exact, _) = Self.run(ones, slopeAt: at, slope: Self.kernel(activation))
        var worst = 0.0
        for (x, y) in zip(at, exact) {
            let expected = KernelReference.slope(
                { KernelReference.activation(activation, $0) }, Double(x))
            worst = max(worst, abs(Double(y) - expected))
        }
        #expect(worst < 0x1p-11)
    }

    @Test(arguments: Activation.allCases) func notANumberStaysOne(activation: Activation) {
        let (exact, halves) = Self.run(
            [.nan, -.nan, 1], activation: Self.kernel(activation))
        #expect(exact[0].isNaN && exact[1].isNaN && exact[2].isFinite)
        #expect(halves[0] & 0x7FFF > 0x7F80)
    }

    /// Machines with the instruction round what is below the smallest normal number to zero.
    private static func withoutSubnormals(_ bits: UInt16) -> UInt16 {
        let hasInstruction = gk_level_has_dots(Int32(GK_BF16)) != 0
        return hasInstruction && bits & 0x7F80 == 0 ? bits & 0x8000 : bits
    }
}
