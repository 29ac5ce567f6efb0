internal import CKernels

/// Mean and 1/√(variance + eps) of each row, written by a layer norm's forward for its backward.
struct NormStatistics {
    /// [2, rows]: the means, then the reciprocal deviations.
    private let view: Rows

    init(_ view: Rows) {
        precondition(view.rows == 2)
        self.view = view
    }

    var mean: UnsafeMutablePointer<Float> { view.base }
    var reciprocalDeviation: UnsafeMutablePointer<Float> { view.base + view.stride }

    func checkRoom(for rows: Int) { precondition(rows <= view.columns, "too few statistics") }
}

/// Layer normalisation with gain and bias.
package struct LayerNorm: Sendable {
    private let gain: [Float]
    private let bias: [Float]
    private let eps: Float

    package init(gain: [Float], bias: [Float], eps: Float) {
        precondition(gain.count == bias.count)
        self.gain = gain
        self.bias = bias
        self.eps = eps
    }

    /// y [rows, width] from x; both may be the same. Statistics go to `keeping` if it is given.
    func forward(
        _ x: Rows, into y: Block, keeping statistics: NormStatistics? = nil,
        seat: ComputeSeat = .alone
    ) {
        precondition(x.columns == gain.count && y.columns == gain.count && x.rows == y.rows)
        statistics?.checkRoom(for: x.rows)
        gain.withUnsafeBufferPointer { gain in
            bias.withUnsafeBufferPointer { bias in
                gk_layer_norm(
                    seat.pointer, x.base, x.stride, gain.baseAddress, bias.baseAddress, eps, x.rows,
                    x.columns, y.view, statistics?.mean, statistics?.reciprocalDeviation)
            }
        }
    }

    /// dx (+)= the gradient of x, and once more to `copy` if it is given. Reads the forward's x and
    /// statistics.
    func backward(
        _ dy: Rows, x: Rows, statistics: NormStatistics, into dx: Rows, accumulate: Bool,
        copy: Block? = nil, seat: ComputeSeat = .alone
    ) {
        precondition(x.columns == gain.count && dy.columns == gain.count)
        precondition(dx.columns == gain.count && x.rows == dy.rows && x.rows == dx.rows)
        precondition(copy.map { $0.rows == dx.rows && $0.columns == dx.columns } ?? true)
        statistics.checkRoom(for: x.rows)
        gain.withUnsafeBufferPointer { gain in
            gk_layer_norm_backward(
                seat.pointer, dy.base, dy.stride, x.base, x.stride, gain.baseAddress,
                statistics.mean, statistics.reciprocalDeviation, x.rows, x.columns, dx.base,
                dx.stride, accumulate ? 1 : 0, copy?.view ?? Block.noView)
        }
    }
}
