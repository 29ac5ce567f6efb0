internal import CKernels

extension Activation {
    /// y = activation(x); both may be the same contiguous block.
    func forward(_ x: Rows, into y: Rows) {
        precondition(x.rows == y.rows && x.columns == y.columns)
        precondition(x.isContiguous && y.isContiguous)
        let count = x.rows * x.columns
        switch self {
        case .quickGELU: gk_quick_gelu(x.base, y.base, count)
        case .gelu: gk_gelu(x.base, y.base, count)
        case .geluTanh: gk_gelu_tanh(x.base, y.base, count)
        }
    }

    /// dx = dy · activation′(x); dx may be dy. Reads the forward's input.
    func backward(_ dy: Rows, x: Rows, into dx: Rows) {
        precondition(x.rows == dy.rows && x.columns == dy.columns)
        precondition(x.rows == dx.rows && x.columns == dx.columns)
        precondition(x.isContiguous && dy.isContiguous && dx.isContiguous)
        let count = x.rows * x.columns
        switch self {
        case .quickGELU: gk_quick_gelu_backward(dy.base, x.base, dx.base, count)
        case .gelu: gk_gelu_backward(dy.base, x.base, dx.base, count)
        case .geluTanh: gk_gelu_tanh_backward(dy.base, x.base, dx.base, count)
        }
    }
}
