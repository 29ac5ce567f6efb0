internal import CKernels

/// Weights as they come from the checkpoint, multiplied by OpenBLAS in fp32: works everywhere, and is
/// the reference for every other backend.
struct OpenBLASLinear: LinearBackend {
    private let weight: [Float]
    private let bias: [Float]?
    private let inputs: Int
    private let outputs: Int
    private let firstOutput: Int

    init(weight: [Float], bias: [Float]?, inputs: Int, outputs: Int, firstOutput: Int) {
        self.weight = weight
        self.bias = bias
        self.inputs = inputs
        self.outputs = outputs
        self.firstOutput = firstOutput
    }

    func forward(_ x: Rows, into y: Rows, _ epilogue: Epilogue) {
        // The bias (and the residual) go in first and the product is added on top: one pass less.
        switch epilogue {
        case .none:
            fillWithBias(y)
            addProduct(x, to: y)
        case .adding(let residual):
            withBias { bias in
                gk_add_bias(
                    residual.base, residual.stride, bias, y.rows, y.columns, y.base, y.stride)
            }
            addProduct(x, to: y)
        case .activating(let activation, let kept):
            let input = kept ?? y
            fillWithBias(input)
            addProduct(x, to: input)
            activation.forward(input, into: y)
        }
    }

    func inputGradient(_ dy: Rows, into dx: Rows, accumulate: Bool) {
        withWeight { weight in
            MatrixProduct.multiply(
                dy.constant, weight, .plain, into: dx, accumulate: accumulate)
        }
    }

    private func fillWithBias(_ y: Rows) {
        withBias { gk_fill_rows($0, y.rows, y.columns, y.base, y.stride) }
    }

    private func addProduct(_ x: Rows, to y: Rows) {
        withWeight { weight in
            MatrixProduct.multiply(
                x.constant, weight, .rightTransposed, into: y, accumulate: true)
        }
    }

    private func withWeight(_ body: (ConstantRows) -> Void) {
        weight.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            body(ConstantRows(start + firstOutput * inputs, rows: outputs, columns: inputs))
        }
    }

    private func withBias(_ body: (UnsafePointer<Float>?) -> Void) {
        guard let bias else { return body(nil) }
        bias.withUnsafeBufferPointer { buffer in
            body(buffer.baseAddress.map { $0 + firstOutput })
        }
    }
}
