internal import CKernels

extension Activation {
    /// y = activation(x); both may be the same block.
    func forward(_ x: Rows, into y: Rows) {
        precondition(x.rows == y.rows && x.columns == y.columns)
        for row in 0..<x.rows {
            let (x, y, count) = (x.base + row * x.stride, y.base + row * y.stride, x.columns)
            switch self {
            case .quickGELU: gk_quick_gelu(x, y, count)
            case .gelu: gk_gelu(x, y, count)
            case .geluTanh: gk_gelu_tanh(x, y, count)
            }
        }
    }

    /// dx = dy · activation′(x); dx may be dy. Reads the forward's input.
    func backward(_ dy: Rows, x: Rows, into dx: Rows) {
        precondition(x.rows == dy.rows && x.columns == dy.columns)
        precondition(x.rows == dx.rows && x.columns == dx.columns)
        let dyColumns = dy.columns
        for row in 0..<x.rows {
            let (dy, x, dx) = (
                dy.base + row * dy.stride, x.base + row * x.stride, dx.base + row * dx.stride
            )
            switch self {
            case .quickGELU: gk_quick_gelu_backward(dy, x, dx, dyColumns)
            case .gelu: gk_gelu_backward(dy, x, dx, dyColumns)
            case .geluTanh: gk_gelu_tanh_backward(dy, x, dx, dyColumns)
            }
        }
    }
}
