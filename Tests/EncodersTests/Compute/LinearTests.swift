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
        Size(rows: 500, inputs: 40, outputs: 70),
    ]

    /// A way to hold the weights, and the error that its rounding allows: of bfloat16 factors 2⁻⁸
    /// each, of bytes 1/254 of a row's largest value each.
    struct Kind: Sendable, CustomTestStringConvertible {
        let element: Element
        let backend: ComputeBackend
        let tolerance: Double
        var testDescription: String { "\(backend) \(element)" }
    }
    static let kinds = [Kind(element: .f32, backend: .openblas, tolerance: 2e-6)] + packedKinds
    #if PackedKernels
        static let packedKinds = [
            Kind(element: .f32, backend: .packed, tolerance: 2e-6),
            Kind(element: .bf16, backend: .packed, tolerance: 8e-3),
            Kind(element: .s8, backend: .packed, tolerance: 3e-2),
        ]
    #else
        static let packedKinds: [Kind] = []
    #endif

    @Test(arguments: sizes, kinds) func forwardMatchesPlainLoops(size: Size, kind: Kind) {
        var random = TowerRandom(size.rows * 1000 + size.inputs)
        // Three more outputs in front: a layer cut from a fused matrix.
        let w = random.floats((size.outputs + 3) * size.inputs)
        let b = random.floats(size.outputs + 3)
        let linear = Linear(
            weight: w, bias: b, inputs: size.inputs, outputs: size.outputs, firstOutput: 3,
            element: kind.element, backend: kind.backend,
            gradients: kind.element == .s8 ? .off : .eager)
        let x = random.floats(size.rows * size.inputs)
        let expected = reference(
            x, w[(3 * size.inputs)...], b[3...], rows: size.rows, inputs: size.inputs,
            outputs: size.outputs)
        let input = OperandMemory(x, rows: size.rows, columns: size.inputs, kind.element)
        let y = block(rows: size.rows, columns: size.outputs)
        y.fill(.nan)
        linear.forward(input.operand, into: Block(y))
        #expect(relativeError(y.array(), expected) < kind.tolerance)

        let residual = random.floats(size.rows * size.outputs)
        let sum = zip(expected, residual).map { $0 + Double($1) }
        let other = block(residual, rows: size.rows, columns: size.outputs)
        linear.forward(input.operand, into: Block(y), .adding(other))
        #expect(relativeError(y.array(), sum) < kind.tolerance)
        linear.forward(input.operand, into: Block(other), .adding(other))
        #expect(other.array() == y.array())

        for activation in [Activation.gelu, .quickGELU, .geluTanh] {
            let kept = block(rows: size.rows, columns: size.outputs)
            linear.forward(
                input.operand, into: Block(y), .activating(activation, keeping: Block(kept)))
            #expect(relativeError(kept.array(), expected) < kind.tolerance)
            #expect(
                relativeError(
                    y.array(),
                    kept.array().map { KernelReference.activation(activation, Double($0)) }) < 2e-6)
            linear.forward(
                input.operand, into: Block(other), .activating(activation, keeping: nil))
            #expect(other.array() == y.array())
        }
    }

    @Test(arguments: sizes, kinds.filter { $0.element != .s8 })
    func inputGradientMatchesPlainLoops(size: Size, kind: Kind) {
        var random = TowerRandom(size.rows * 77 + size.inputs)
        let w = random.floats(size.outputs * size.inputs)
        let linear = Linear(
            weight: w, bias: nil, inputs: size.inputs, outputs: size.outputs,
            element: kind.element, backend: kind.backend)
        let dy = random.floats(size.rows * size.outputs)
        var transposed = w
        for o in 0..<size.outputs {
            for i in 0..<size.inputs { transposed[i * size.outputs + o] = w[o * size.inputs + i] }
        }
        let expected = reference(
            dy, transposed[...], nil, rows: size.rows, inputs: size.outputs, outputs: size.inputs)
        let dx = block(rows: size.rows, columns: size.inputs)
        dx.fill(.nan)
        let gradient = OperandMemory(dy, rows: size.rows, columns: size.outputs, kind.element)
        linear.inputGradient(gradient.operand, into: Block(dx))
        #expect(relativeError(dx.array(), expected) < kind.tolerance)
        let before = dx.array()
        linear.inputGradient(gradient.operand, into: Block(dx), .adding(dx))
        #expect(relativeError(dx.array(), before.map { 2 * Double($0) }) < 2e-6)

        let x = random.floats(size.rows * size.inputs, scale: 2)
        let kept = block(x, rows: size.rows, columns: size.inputs)
        linear.inputGradient(gradient.operand, into: Block(dx), .slope(.gelu, of: Block(kept)))
        let slopes = x.map { KernelReference.slope(KernelReference.gelu, Double($0)) }
        #expect(
            relativeError(dx.array(), zip(before, slopes).map { Double($0) * $1 }) < 1e-5)
    }

    #if PackedKernels
        /// A transpose that is made of the packed matrix when it is wanted is the one that would have
        /// been made of the weights.
        @Test(arguments: packedKinds) func gradientsOfLatePackedWeightsHaveTheSameBits(kind: Kind) {
            guard kind.element != .s8 else { return }
            for size in Self.sizes + [Size(rows: 70, inputs: 96, outputs: 131)] {
                var random = TowerRandom(size.inputs)
                let w = random.floats((size.outputs + 3) * size.inputs)
                let dy = OperandMemory(
                    random.floats(size.rows * size.outputs), rows: size.rows, columns: size.outputs,
                    kind.element)
                func gradient(_ linear: Linear) -> [Float] {
                    let dx = block(rows: size.rows, columns: size.inputs)
                    linear.inputGradient(dy.operand, into: Block(dx))
                    return dx.array()
                }
                func linear(_ gradients: GradientWeights) -> Linear {
                    Linear(
                        weight: w, bias: nil, inputs: size.inputs, outputs: size.outputs,
                        firstOutput: 3, element: kind.element, backend: .packed,
                        gradients: gradients)
                }
                let early = linear(.eager)
                let late = linear(.lazy)
                #expect(late.gradientBytes == 0)
                #expect(late.bytes == linear(.off).bytes)
                #expect(gradient(late) == gradient(early))
                #expect(late.gradientBytes == early.gradientBytes)
                #expect(late.bytes == early.bytes)
                #expect(gradient(late) == gradient(early))
            }
        }

        /// Every row by itself, all together, and with helpers: the same bits.
        @Test(arguments: packedKinds) func rowsDoNotDependOnTheirNeighbours(kind: Kind) {
            let team = ComputeTeam(places: 3)
            let seat = team.sit()
            defer { team.leave(seat) }
            for size in Self.sizes + [Size(rows: 1000, inputs: 96, outputs: 96)] {
                var random = TowerRandom(size.rows)
                let linear = Linear(
                    weight: random.floats(size.outputs * size.inputs),
                    bias: random.floats(size.outputs), inputs: size.inputs, outputs: size.outputs,
                    element: kind.element, backend: .packed, gradients: .off)
                let x = OperandMemory(
                    random.floats(size.rows * size.inputs), rows: size.rows, columns: size.inputs,
                    kind.element)
                let all = block(rows: size.rows, columns: size.outputs)
                linear.forward(x.operand, into: Block(all), .activating(.gelu, keeping: nil))
                let helped = block(rows: size.rows, columns: size.outputs)
                linear.forward(
                    x.operand, into: Block(helped), .activating(.gelu, keeping: nil), seat: seat)
                #expect(all.array() == helped.array())
                let parts = block(rows: size.rows, columns: size.outputs)
                var start = 0
                while start < size.rows {
                    let end = min(size.rows, start + Int.random(in: 1...19, using: &random))
                    linear.forward(
                        x.operand.rows(start..<end), into: Block(parts.rows(start..<end)),
                        .activating(.gelu, keeping: nil))
                    start = end
                }
                #expect(all.array() == parts.array())
            }
        }
    #endif

    @Test(arguments: kinds) func blocksWithinWiderRowsAreLeftAlone(kind: Kind) {
        var random = TowerRandom(8)
        let w = random.floats(6 * 4)
        let linear = Linear(
            weight: w, bias: nil, inputs: 4, outputs: 6, element: kind.element,
            backend: kind.backend, gradients: .off)
        let x = random.floats(3 * 4)
        let wide = block(rows: 3, columns: 10)
        wide.fill(5)
        let input = OperandMemory(x, rows: 3, columns: 4, kind.element)
        linear.forward(input.operand, into: Block(wide.columns(2..<8)))
        let expected = reference(x, w[...], nil, rows: 3, inputs: 4, outputs: 6)
        let all = wide.array()
        for row in 0..<3 {
            let own = all[row * 10..<(row + 1) * 10]
            let written = Array(own.dropFirst(2).prefix(6))
            #expect(
                relativeError(written, Array(expected[row * 6..<row * 6 + 6])) < kind.tolerance)
            #expect(own.prefix(2).allSatisfy { $0 == 5 } && own.suffix(2).allSatisfy { $0 == 5 })
        }
    }
}
