import CKernels
import Encoders
import Glibc
import Testing

/// Widths around the sixteen lanes, and the sizes of real towers.
private let widths = [1, 2, 7, 15, 16, 17, 31, 32, 33, 50, 77, 97, 257, 577, 768]

@Suite struct KernelTests {
    @Test(arguments: widths) func layerNormMatchesItsReference(width: Int) {
        var random = TowerRandom(width)
        let rows = 3
        let stride = width + 5
        let x = random.floats(rows * stride, scale: 2, center: 3)
        let gain = random.floats(width, center: 1)
        let bias = random.floats(width)
        var y = [Float](repeating: 99, count: rows * stride)
        var mean = [Float](repeating: 0, count: rows)
        var rstd = mean
        y.withUnsafeMutableBytes { y in
            gk_layer_norm(
                nil, x, stride, gain, bias, 1e-3, rows, width,
                gk_view(base: y.baseAddress, stride: stride, element: Int32(GK_F32)), &mean, &rstd)
        }
        let dy = random.floats(rows * width)
        let before = random.floats(rows * width)
        var dx = before
        let none = gk_view(base: nil, stride: 0, element: 0)
        gk_layer_norm_backward(
            nil, dy, width, x, stride, gain, mean, rstd, rows, width, &dx, width, 1, none)
        var fresh = before
        var halves = [UInt16](repeating: 0, count: rows * width)
        halves.withUnsafeMutableBytes { halves in
            gk_layer_norm_backward(
                nil, dy, width, x, stride, gain, mean, rstd, rows, width, &fresh, width, 0,
                gk_view(base: halves.baseAddress, stride: width, element: Int32(GK_BF16)))
        }
        #expect(halves == fresh.map(KernelReference.bfloat16))
        var halfNorm = [UInt16](repeating: 0, count: rows * stride)
        halfNorm.withUnsafeMutableBytes { halfNorm in
            gk_layer_norm(
                nil, x, stride, gain, bias, 1e-3, rows, width,
                gk_view(base: halfNorm.baseAddress, stride: stride, element: Int32(GK_BF16)), nil,
                nil)
        }
        for row in 0..<rows {
            let range = row * stride..<row * stride + width
            #expect(Array(halfNorm[range]) == y[range].map(KernelReference.bfloat16))
        }

        for row in 0..<rows {
            let own = x[row * stride..<row * stride + width].map(Double.init)
            let expected = KernelReference.layerNorm(
                own, gain: gain.map(Double.init), bias: bias.map(Double.init), eps: 1e-3)
            let out = Array(y[row * stride..<row * stride + width])
            #expect(relativeError(out, expected) < 2e-6)
            #expect(y[row * stride + width..<(row + 1) * stride].allSatisfy { $0 == 99 })

            let range = row * width..<(row + 1) * width
            let gradient = KernelReference.layerNormBackward(
                dy[range].map(Double.init), x: own, gain: gain.map(Double.init), eps: 1e-3)
            // In a row of one value the gradient is 0 and only rounding is left of it.
            let scale = max(gradient.map(abs).max() ?? 0, 1)
            for (i, g) in gradient.enumerated() {
                let old = Double(before[range.lowerBound + i])
                #expect(abs(Double(fresh[range.lowerBound + i]) - g) < 1e-5 * scale)
                #expect(abs(Double(dx[range.lowerBound + i]) - old - g) < 1e-5 * scale)
            }
        }
    }

    @Test func layerNormKeepsTheVarianceOfRowsFarFromZero() {
        var random = TowerRandom(4)
        let x = random.floats(100, scale: 0.01, center: 1000)
        let ones = [Float](repeating: 1, count: 100)
        let zeros = [Float](repeating: 0, count: 100)
        var y = zeros
        y.withUnsafeMutableBytes { y in
            gk_layer_norm(
                nil, x, 100, ones, zeros, 1e-12, 1, 100,
                gk_view(base: y.baseAddress, stride: 100, element: Int32(GK_F32)), nil, nil)
        }
        let expected = KernelReference.layerNorm(
            x.map(Double.init), gain: ones.map(Double.init), bias: zeros.map(Double.init),
            eps: 1e-12)
        // The values near 1000 are 6e-5 apart; the mean's own rounding is of that order.
        #expect(relativeError(y, expected) < 2e-2)
    }

    @Test func bfloat16IsTheNearest() {
        let x: [Float] = [
            1, -1, 1.00390625, 1.01171875, 3.4e38, .infinity, -.infinity, 0, -0.0,
            Float(bitPattern: 0x0001_2345),
            .greatestFiniteMagnitude, .leastNonzeroMagnitude, 1.001, 65504, 7, 8, 9,
        ]
        var y = [UInt16](repeating: 0, count: x.count)
        gk_narrow_bf16(x, &y, x.count)
        #expect(y == x.map(KernelReference.bfloat16))
        // Ties go to the even neighbour.
        #expect(y[2] == 0x3F80 && y[3] == 0x3F82)
        var nan: Float = .nan
        var half: UInt16 = 0
        gk_narrow_bf16(&nan, &half, 1)
        #expect(Float(bitPattern: UInt32(half) << 16).isNaN)
    }

    @Test func theInstructionSetInForceIsTheOneAskedFor() throws {
        // Suites run once more with this variable set; see scripts/run-tests.
        guard let name = getenv("GUIDANCED_INSTRUCTIONS") else {
            #expect(InstructionSet.current == .best)
            return
        }
        #expect(InstructionSet.current.name == String(cString: name))
    }

    typealias Map = @Sendable (UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int) -> Void
    typealias MapBackward =
        @Sendable (
            UnsafePointer<Float>, UnsafePointer<Float>, UnsafeMutablePointer<Float>, Int
        ) -> Void

    private static func kernels(
        _ activation: Activation
    ) -> (Map, MapBackward, @Sendable (Double) -> Double) {
        switch activation {
        case .quickGELU:
            (
                { gk_quick_gelu($0, $1, $2) }, { gk_quick_gelu_backward($0, $1, $2, $3) },
                { KernelReference.quickGELU($0) }
            )
        case .gelu:
            (
                { gk_gelu($0, $1, $2) }, { gk_gelu_backward($0, $1, $2, $3) },
                { KernelReference.gelu($0) }
            )
        case .geluTanh:
            (
                { gk_gelu_tanh($0, $1, $2) }, { gk_gelu_tanh_backward($0, $1, $2, $3) },
                { KernelReference.geluTanh($0) }
            )
        }
    }

    @Test(arguments: Activation.allCases, [1, 15, 16, 33, 4001])
    func activationsAndTheirSlopesMatchTheirReferences(activation: Activation, count: Int) {
        let (forward, backward, reference) = Self.kernels(activation)
        var random = TowerRandom(count)
        let x = random.floats(count, scale: 9)
        let dy = random.floats(count, scale: 2)
        var y = [Float](repeating: 0, count: count)
        var dx = y
        forward(x, &y, count)
        backward(dy, x, &dx, count)
        var errors = (0.0, 0.0)
        for i in 0..<count {
            let at = Double(x[i])
            errors.0 = max(errors.0, abs(Double(y[i]) - reference(at)) / max(1, abs(at)))
            let slope = KernelReference.slope(reference, at) * Double(dy[i])
            errors.1 = max(errors.1, abs(Double(dx[i]) - slope))
        }
        #expect(errors.0 < 3e-7)
        #expect(errors.1 < 2e-6)

        var inPlace = x
        inPlace.withUnsafeMutableBufferPointer { buffer in
            if let base = buffer.baseAddress { forward(base, base, count) }
        }
        #expect(inPlace == y)
    }

    @Test(arguments: Activation.allCases) func activationsEndInTheirLimits(activation: Activation) {
        let (forward, backward, _) = Self.kernels(activation)
        let x: [Float] = [-1e4, -100, 0, 100, 1e4, .nan]
        var y = [Float](repeating: 7, count: x.count)
        forward(x, &y, x.count)
        #expect(abs(y[0]) < 1e-30 && abs(y[1]) < 1e-30 && y[2] == 0)
        #expect(y[3] == 100 && y[4] == 1e4 && y[5].isNaN)
        let ones = [Float](repeating: 1, count: x.count)
        backward(ones, x, &y, x.count)
        #expect(abs(y[0]) < 1e-20 && abs(y[1]) < 1e-20 && abs(y[2] - 0.5) < 1e-6)
        #expect(y[3] == 1 && y[4] == 1 && y[5].isNaN)
    }

    @Test func exponentialAndErrorFunctionAreWithinTwoUnitsInTheLastPlace() {
        let count = 100_003
        let x = (0..<count).map { -87 + 175 * Float($0) / Float(count) }
        var y = [Float](repeating: 0, count: count)
        gk_exp(x, &y, count)
        var worst = 0.0
        for (a, e) in zip(y, x.map({ exp(Double($0)) })) {
            worst = max(worst, abs(Double(a) - e) / Double(Float(e).ulp))
        }
        #expect(worst < 2)

        let z = (0..<count).map { -5 + 10 * Float($0) / Float(count) }
        gk_erf(z, &y, count)
        worst = 0
        for (a, e) in zip(y, z.map({ erf(Double($0)) })) {
            worst = max(worst, abs(Double(a) - e) / Double(Float(e).ulp))
        }
        #expect(worst < 2)
    }

    @Test func exponentialSaturatesAndUnderflowsGradually() {
        let x: [Float] = [-.infinity, -200, -100, 0, 200, .infinity, .nan]
        var y = [Float](repeating: 0, count: x.count)
        gk_exp(x, &y, x.count)
        #expect(y[0] == 0 && y[1] == 0 && y[3] == 1)
        #expect(y[2] > 0 && y[2] < Float.leastNormalMagnitude)
        #expect(y[4] > 3.4e38 && y[5] > 3.4e38 && y[6].isNaN)
    }

    @Test func everyHalfWidensExactly() {
        let halves = (0...UInt16.max).map { $0 }
        var wide = [Float](repeating: 0, count: halves.count)
        gk_widen_f16(halves, &wide, halves.count)
        var wrong = 0
        for half in halves {
            let exponent = Int(half >> 10 & 31)
            let fraction = Double(half & 1023)
            let magnitude: Double =
                switch exponent {
                case 0: scalbn(fraction, -24)
                case 31: fraction == 0 ? .infinity : .nan
                default: scalbn(1024 + fraction, exponent - 25)
                }
            let expected = Float(half >> 15 == 0 ? magnitude : -magnitude)
            let actual = wide[Int(half)]
            let same =
                expected.isNaN
                ? actual.isNaN : actual == expected && actual.sign == expected.sign
            wrong += same ? 0 : 1
        }
        #expect(wrong == 0)
    }

    @Test(arguments: [1, 15, 16, 37]) func wideningNeedsNoAlignment(count: Int) {
        let bytes = (0..<2 * count + 1).map { UInt8(truncatingIfNeeded: 37 * $0 + 11) }
        var half = [Float](repeating: 0, count: count)
        var brain = half
        bytes.withUnsafeBytes { buffer in
            gk_widen_f16(buffer.baseAddress.map { $0 + 1 }, &half, count)
            gk_widen_bf16(buffer.baseAddress.map { $0 + 1 }, &brain, count)
        }
        for i in 0..<count {
            let bits = UInt16(bytes[2 * i + 1]) | UInt16(bytes[2 * i + 2]) << 8
            var one: Float = 0
            withUnsafeBytes(of: bits) { gk_widen_f16($0.baseAddress, &one, 1) }
            #expect(half[i].bitPattern == one.bitPattern)
            #expect(brain[i].bitPattern == UInt32(bits) << 16)
        }
    }

    @Test(arguments: widths) func rowHelpersMatchPlainLoops(count: Int) {
        var random = TowerRandom(count)
        let a = random.floats(count)
        let b = random.floats(count)
        var y = [Float](repeating: 0, count: count)
        gk_add(a, b, &y, count)
        #expect(y == zip(a, b).map { $0 + $1 })
        gk_fill_rows(b, 1, count, &y, count)
        #expect(y == b)
        gk_fill_rows(nil, 1, count, &y, count)
        #expect(y.allSatisfy { $0 == 0 })
        let dot = zip(a, b).map { Double($0) * Double($1) }.reduce(0, +)
        #expect(abs(Double(gk_dot(a, b, count)) - dot) < 1e-6 * Double(count))
    }
}
