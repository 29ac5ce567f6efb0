import Encoders
import Testing

/// x [rows, inputs] · wᵀ [outputs, inputs] + b in double precision.
private func reference(
    _ x: [Float], _ w: ArraySlice<Float>, _ b: ArraySlice<Float>?, rows: Int, inputs: Int,
    outputs: Int
) -> [Double] {
    var y: [Double] = []
    for row in 0..<rows {
        for output in 0..<outputs {
            var sum = b.map { Double($0[$0.startIndex + output]) } ?? 0
            for i in 0..<inputs {
                sum += Double(x[row * inputs + i]) * Double(w[w.startIndex + output * inputs + i])
            }
            y.append(sum)
        }
    }
    return y
}

@Suite struct LinearTests {
    struct Size: Sendable, CustomTestStringConvertible {
        let rows, inputs, outputs: Int
        var testDescription: String { "\(rows)×\(outputs)×\(inputs)" }
    }
    static let sizes = [
        Size(rows: 1, inputs: 1, outputs: 1), Size(rows: 1, inputs: 37, outputs: 19),
        Size(rows: 2, inputs: 5, outputs: 64), Size(rows: 50, inputs: 97, outputs: 131),
        Size(rows: 17, inputs: 64, outputs: 33), Size(rows: 77, inputs: 200, outputs: 150),
    ]

    @Test(arguments: sizes) func forwardMatchesPlainLoops(size: Size) {
        var random = TowerRandom(size.rows * 1000 + size.inputs)
        // Three more outputs in front: a layer cut from a fused matrix.
        let w = random.floats((size.outputs + 3) * size.inputs)
        let b = random.floats(size.outputs + 3)
        let linear = Linear(
            weight: w, bias: b, inputs: size.inputs, outputs: size.outputs, firstOutput: 3)
        let x = random.floats(size.rows * size.inputs)
        let expected = reference(
            x, w[(3 * size.inputs)...], b[3...], rows: size.rows, inputs: size.inputs,
            outputs: size.outputs)
        let input = block(x, rows: size.rows, columns: size.inputs)
        let y = block(rows: size.rows, columns: size.outputs)
        y.fill(.nan)
        linear.forward(input, into: y)
        #expect(relativeError(y.array(), expected) < 2e-6)

        let residual = random.floats(size.rows * size.outputs)
        let sum = zip(expected, residual).map { $0 + Double($1) }
        let other = block(residual, rows: size.rows, columns: size.outputs)
        linear.forward(input, into: y, .adding(other))
        #expect(relativeError(y.array(), sum) < 2e-6)
        linear.forward(input, into: other, .adding(other))
        #expect(other.array() == y.array())

        let kept = block(rows: size.rows, columns: size.outputs)
        linear.forward(input, into: y, .activating(.gelu, keeping: kept))
        #expect(relativeError(kept.array(), expected) < 2e-6)
        #expect(relativeError(y.array(), expected.map(KernelReference.gelu)) < 2e-6)
        linear.forward(input, into: other, .activating(.gelu, keeping: nil))
        #expect(other.array() == y.array())
    }

    @Test(arguments: sizes) func inputGradientMatchesPlainLoops(size: Size) {
        var random = TowerRandom(size.rows * 77 + size.inputs)
        let w = random.floats(size.outputs * size.inputs)
        let linear = Linear(weight: w, bias: nil, inputs: size.inputs, outputs: size.outputs)
        let dy = random.floats(size.rows * size.outputs)
        var transposed = w
        for o in 0..<size.outputs {
            for i in 0..<size.inputs { transposed[i * size.outputs + o] = w[o * size.inputs + i] }
        }
        let expected = reference(
            dy, transposed[...], nil, rows: size.rows, inputs: size.outputs, outputs: size.inputs)
        let dx = block(rows: size.rows, columns: size.inputs)
        dx.fill(.nan)
        let gradient = block(dy, rows: size.rows, columns: size.outputs)
        linear.inputGradient(gradient, into: dx)
        #expect(relativeError(dx.array(), expected) < 2e-6)
        linear.inputGradient(gradient, into: dx, accumulate: true)
        #expect(relativeError(dx.array(), expected.map { 2 * $0 }) < 2e-6)
    }

    @Test func blocksWithinWiderRowsAreLeftAlone() {
        var random = TowerRandom(8)
        let w = random.floats(6 * 4)
        let linear = Linear(weight: w, bias: nil, inputs: 4, outputs: 6)
        let x = random.floats(3 * 4)
        let wide = block(rows: 3, columns: 10)
        wide.fill(5)
        linear.forward(
            block(x, rows: 3, columns: 4), into: wide.columns(2..<8))
        let expected = reference(x, w[...], nil, rows: 3, inputs: 4, outputs: 6)
        let all = wide.array()
        for row in 0..<3 {
            let own = all[row * 10..<(row + 1) * 10]
            let written = Array(own.dropFirst(2).prefix(6))
            #expect(relativeError(written, Array(expected[row * 6..<row * 6 + 6])) < 2e-6)
            #expect(own.prefix(2).allSatisfy { $0 == 5 } && own.suffix(2).allSatisfy { $0 == 5 })
        }
    }
}
