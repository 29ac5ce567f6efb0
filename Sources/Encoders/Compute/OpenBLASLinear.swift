internal import CKernels

/// Weights as they come from the checkpoint, multiplied by OpenBLAS in fp32: works everywhere, and is
/// the reference for the packed kernels.
struct OpenBLASLinear: LinearBackend {
    private let weight: [Float]
    private let bias: [Float]?
    private let inputs: Int
    private let outputs: Int

    let element = Element.f32
    /// The library reads a matrix either way.
    var gradientBytes: Int { 0 }

    var bytes: Int { (weight.count + (bias?.count ?? 0)) * 4 }

    init(
        weight: [Float], bias: ArraySlice<Float>?, inputs: Int, outputs: Int, firstOutput: Int
    ) {
        let own = firstOutput * inputs..<(firstOutput + outputs) * inputs
        self.weight = own == weight.indices ? weight : Array(weight[own])
        self.bias = bias.map(Array.init)
        self.inputs = inputs
        self.outputs = outputs
    }

    func forward(_ x: Operand, into y: Block, _ epilogue: Epilogue, seat: ComputeSeat) {
        let (x, y) = (x.block.floats, y.floats)
        // The bias (and the residual) go in first and the product is added on top: one pass less.
        switch epilogue {
        case .none:
            fillWithBias(y)
            multiply(x, .rightTransposed, addingTo: y)
        case .adding(let residual):
            withBias { bias in
                gk_add_bias(
                    residual.base, residual.stride, bias, y.rows, y.columns, y.base, y.stride)
            }
            multiply(x, .rightTransposed, addingTo: y)
        case .activating(let activation, let kept):
            let input = kept?.floats ?? y
            fillWithBias(input)
            multiply(x, .rightTransposed, addingTo: input)
            activation.forward(input, into: y)
        case .slope(let activation, let kept):
            fillWithBias(y)
            multiply(x, .rightTransposed, addingTo: y)
            activation.backward(y, x: kept.floats, into: y)
        }
    }

    func inputGradient(_ dy: Operand, into dx: Block, _ epilogue: Epilogue, seat: ComputeSeat) {
        let (dy, dx) = (dy.block.floats, dx.floats)
        if case .adding(let residual) = epilogue {
            if residual.base != dx.base { dx.copy(from: residual) }
        } else {
            dx.fill(0)
        }
        multiply(dy, .plain, addingTo: dx)
        switch epilogue {
        case .none, .adding: break
        case .activating(let activation, let kept):
            if let kept { kept.floats.copy(from: dx) }
            activation.forward(dx, into: dx)
        case .slope(let activation, let kept):
            activation.backward(dx, x: kept.floats, into: dx)
        }
    }

    private func fillWithBias(_ y: Rows) {
        withBias { gk_fill_rows($0, y.rows, y.columns, y.base, y.stride) }
    }

    private func multiply(_ x: Rows, _ form: MatrixProduct.Form, addingTo y: Rows) {
        weight.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            let matrix = ConstantRows(start, rows: outputs, columns: inputs)
            MatrixProduct.multiply(x.constant, matrix, form, into: y, accumulate: true)
        }
    }

    private func withBias(_ body: (UnsafePointer<Float>?) -> Void) {
        guard let bias else { return body(nil) }
        bias.withUnsafeBufferPointer { body($0.baseAddress) }
    }
}
