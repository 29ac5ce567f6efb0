internal import COpenBLAS

/// The one place where a matrix product is computed: dimensions checked, one library call.
///
/// A product's rows are computed from the same rows of its left factor, over the whole inner
/// dimension, in one call. OpenBLAS picks its code path by the sizes of a call, so whoever wants the
/// same bits for the same item must not let those sizes depend on what else is in a batch.
package enum MatrixProduct {
    /// Which factor is read transposed.
    package enum Form {
        /// A·B
        case plain
        /// A·Bᵀ, as in a layer's forward (weights are stored [outputs, inputs]).
        case rightTransposed
        /// Aᵀ·B
        case leftTransposed
    }

    /// OpenBLAS brings threads of its own; ours are the only ones that shall run. It may be called
    /// from several threads at once.
    private static let singleThreaded: Void = openblas_set_num_threads(1)

    /// c ← scale · a·b, or c + scale · a·b when `accumulate` is set; `form` says what is transposed.
    ///
    /// `c` must not overlap the factors. Sizes that do not fit are a programming error and trap.
    package static func multiply(
        _ a: ConstantRows, _ b: ConstantRows, _ form: Form, into c: Rows, scale: Float = 1,
        accumulate: Bool = false
    ) {
        let inner: Int
        switch form {
        case .plain:
            inner = a.columns
            precondition(a.rows == c.rows && b.rows == inner && b.columns == c.columns, "A·B")
        case .rightTransposed:
            inner = a.columns
            precondition(a.rows == c.rows && b.columns == inner && b.rows == c.columns, "A·Bᵀ")
        case .leftTransposed:
            inner = a.rows
            precondition(a.columns == c.rows && b.rows == inner && b.columns == c.columns, "Aᵀ·B")
        }
        guard c.rows > 0, c.columns > 0 else { return }
        guard inner > 0 else {
            if !accumulate { c.fill(0) }
            return
        }
        _ = singleThreaded

        // One row is bound by reading the matrix; copying it into the blocks of a product first
        // would double that.
        if c.rows == 1, form != .leftTransposed {
            // Cleared here: some versions multiply by a beta of 0, and 0 · NaN is not 0.
            if !accumulate { c.fill(0) }
            cblas_sgemv(
                CblasRowMajor, form == .plain ? CblasTrans : CblasNoTrans, blasint(b.rows),
                blasint(b.columns), scale, b.base, blasint(b.stride), a.base, 1, 1, c.base, 1)
            return
        }
        cblas_sgemm(
            CblasRowMajor, form == .leftTransposed ? CblasTrans : CblasNoTrans,
            form == .rightTransposed ? CblasTrans : CblasNoTrans, blasint(c.rows),
            blasint(c.columns), blasint(inner), scale, a.base, blasint(a.stride), b.base,
            blasint(b.stride), accumulate ? 1 : 0, c.base, blasint(c.stride))
    }
}
