/// What a layer does with a product before it is done; fused where the backend can.
package enum Epilogue {
    case none
    /// y = residual + …; the residual may be y itself.
    case adding(Rows)
    /// y = activation(…); `keeping` receives the activation's input, which its backward reads, unless
    /// it is `nil`.
    case activating(Activation, keeping: Block?)
    /// y = … · activation′(x), at what `keeping` received: the activation's backward.
    case slope(Activation, of: Block)
}

/// A way to hold one weight matrix and multiply by it.
///
/// `Linear` has checked the sizes before a call. A row of a result depends on the same row of the
/// input alone. Implementations are immutable and called from several threads at once.
package protocol LinearBackend: Sendable {
    /// What the left factor must be.
    var element: Element { get }
    /// Memory that the weights take.
    var bytes: Int { get }
    /// How much of it is held for gradients alone.
    var gradientBytes: Int { get }
    /// y [rows, outputs] from x [rows, inputs].
    func forward(_ x: Operand, into y: Block, _ epilogue: Epilogue, seat: ComputeSeat)
    /// dx [rows, inputs] = dy·W from dy [rows, outputs].
    func inputGradient(_ dy: Operand, into dx: Block, _ epilogue: Epilogue, seat: ComputeSeat)
}

/// A linear layer, y = x·Wᵀ + b: owns its weights, in whatever layout its backend wants.
///
/// The backward computes the gradient of the input only: weights are never trained here.
package struct Linear: Sendable {
    package let inputs: Int
    package let outputs: Int
    private let backend: any LinearBackend

    /// - Parameters:
    ///   - weight: [≥ firstOutput + outputs, inputs], row-major.
    ///   - bias: as many values as `weight` has rows, or `nil`.
    ///   - firstOutput: the row of `weight` where this layer's own begin, for layers cut from a
    ///     fused matrix.
    ///   - element: of weights and left factor; fp32 alone on OpenBLAS.
    ///   - gradients: when what ``inputGradient(_:into:_:seat:)`` needs is made; never for bytes.
    package init(
        weight: [Float], bias: [Float]?, inputs: Int, outputs: Int, firstOutput: Int = 0,
        element: Element = .f32, backend kind: ComputeBackend = .standard,
        gradients: GradientWeights = .eager
    ) {
        precondition(weight.count >= (firstOutput + outputs) * inputs, "too few weights")
        precondition((bias?.count ?? .max) >= firstOutput + outputs, "too few biases")
        precondition(element != .s8 || gradients == .off, "bytes have no gradients")
        self.inputs = inputs
        self.outputs = outputs
        let ownBias = bias.map { $0[firstOutput..<firstOutput + outputs] }
        switch kind {
        case .packed:
            backend = PackedLinear(
                weight: weight, bias: ownBias, inputs: inputs, outputs: outputs,
                firstOutput: firstOutput, element: element, gradients: gradients)
        case .openblas:
            precondition(element == .f32, "OpenBLAS multiplies fp32 alone")
            backend = OpenBLASLinear(
                weight: weight, bias: ownBias, inputs: inputs, outputs: outputs,
                firstOutput: firstOutput)
        }
    }

    /// What the left factor must be.
    package var element: Element { backend.element }

    /// Memory that the weights take.
    package var bytes: Int { backend.bytes }

    /// How much of it is held for gradients alone.
    package var gradientBytes: Int { backend.gradientBytes }

    /// y [rows, outputs] from x [rows, inputs].
    package func forward(
        _ x: Operand, into y: Block, _ epilogue: Epilogue = .none, seat: ComputeSeat = .alone
    ) {
        precondition(x.block.columns == inputs && y.columns == outputs, "Linear")
        check(x.block, y, epilogue)
        backend.forward(x, into: y, epilogue, seat: seat)
    }

    /// dx [rows, inputs] = dy·W from dy [rows, outputs], then the epilogue (there is no bias).
    package func inputGradient(
        _ dy: Operand, into dx: Block, _ epilogue: Epilogue = .none, seat: ComputeSeat = .alone
    ) {
        precondition(dy.block.columns == outputs && dx.columns == inputs, "Linear")
        check(dy.block, dx, epilogue)
        backend.inputGradient(dy, into: dx, epilogue, seat: seat)
    }

    private func check(_ x: Block, _ y: Block, _ epilogue: Epilogue) {
        precondition(x.rows == y.rows && y.element != .s8, "Linear")
        switch epilogue {
        case .none, .activating(_, keeping: nil): break
        case .adding(let other):
            precondition(other.rows == y.rows && other.columns == y.columns, "Linear's epilogue")
        case .activating(_, keeping: .some(let other)), .slope(_, let other):
            precondition(other.rows == y.rows && other.columns == y.columns, "Linear's epilogue")
        }
    }
}
