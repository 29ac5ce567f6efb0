/// What a layer does with a product before it is done; fused where the backend can.
package enum Epilogue {
    /// y = x·Wᵀ + b
    case none
    /// y = residual + x·Wᵀ + b; the residual may be y itself.
    case adding(Rows)
    /// y = activation(x·Wᵀ + b); `keeping` receives the activation's input, which its backward
    /// reads, unless it is `nil`.
    case activating(Activation, keeping: Rows?)
}

/// A library's way to hold one weight matrix and multiply by it.
///
/// `Linear` has checked the sizes before a call. A row of a result depends on the same row of the
/// input alone. Implementations are immutable and called from several threads at once.
package protocol LinearBackend: Sendable {
    /// y [rows, outputs] from x [rows, inputs].
    func forward(_ x: Rows, into y: Rows, _ epilogue: Epilogue)
    /// dx [rows, inputs] = dy·W from dy [rows, outputs], added to dx when `accumulate` is set.
    func inputGradient(_ dy: Rows, into dx: Rows, accumulate: Bool)
}

/// A linear layer, y = x·Wᵀ + b: owns its weights, in whatever layout its backend wants.
///
/// The backward computes the gradient of the input only: weights are never trained here.
package struct Linear: Sendable {
    package let inputs: Int
    package let outputs: Int
    private let backend: any LinearBackend

    /// - Parameters:
    ///   - weight: [≥ firstOutput + outputs, inputs], row-major; the array is shared, not copied.
    ///   - bias: as many values as `weight` has rows, or `nil`.
    ///   - firstOutput: the row of `weight` where this layer's own begin, for layers cut from a
    ///     fused matrix.
    package init(
        weight: [Float], bias: [Float]?, inputs: Int, outputs: Int, firstOutput: Int = 0
    ) {
        precondition(weight.count >= (firstOutput + outputs) * inputs, "too few weights")
        precondition((bias?.count ?? .max) >= firstOutput + outputs, "too few biases")
        self.inputs = inputs
        self.outputs = outputs
        backend = OpenBLASLinear(
            weight: weight, bias: bias, inputs: inputs, outputs: outputs, firstOutput: firstOutput)
    }

    /// y [rows, outputs] from x [rows, inputs].
    package func forward(_ x: Rows, into y: Rows, _ epilogue: Epilogue = .none) {
        precondition(x.columns == inputs && y.columns == outputs && x.rows == y.rows, "Linear")
        switch epilogue {
        case .none, .activating(_, keeping: nil):
            break
        case .adding(let other), .activating(_, keeping: .some(let other)):
            precondition(other.rows == y.rows && other.columns == y.columns, "Linear's epilogue")
        }
        backend.forward(x, into: y, epilogue)
    }

    /// dx [rows, inputs] = dy·W from dy [rows, outputs], added to dx when `accumulate` is set.
    package func inputGradient(_ dy: Rows, into dx: Rows, accumulate: Bool = false) {
        precondition(dy.columns == outputs && dx.columns == inputs && dy.rows == dx.rows, "Linear")
        backend.inputGradient(dy, into: dx, accumulate: accumulate)
    }
}
