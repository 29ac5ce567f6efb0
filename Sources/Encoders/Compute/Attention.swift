internal import CKernels

/// Scaled dot-product attention over several heads, softmax(q·kᵀ/√d)·v, without its projections.
///
/// Works head by head and in pieces of query rows, so that a piece's scores stay in the second-level
/// cache. Probabilities are not kept: the backward computes them again, which costs one small
/// product and saves heads · T² floats a layer.
package struct Attention: Sendable {
    package let heads: Int
    package let headWidth: Int
    /// Whether a query sees only its own position and those before it.
    package let isCausal: Bool

    /// Scores that a piece may hold: 192 KiB, under half of a second-level cache.
    private static let pieceScores = 49_152

    package init(width: Int, heads: Int, isCausal: Bool) {
        precondition(heads > 0 && width % heads == 0)
        self.heads = heads
        headWidth = width / heads
        self.isCausal = isCausal
    }

    /// Query rows in a piece over `tokens` keys. It depends on the item's own size alone.
    package static func pieceRows(tokens: Int) -> Int {
        max(1, min(tokens, pieceScores / max(tokens, 1)))
    }

    /// Scores and their gradients, for pieces over up to `tokens` keys.
    package struct Scratch {
        private let memory: Rows

        /// - Parameter memory: [2, pieceRows(tokens) · tokens]
        package init(_ memory: Rows) {
            precondition(memory.rows == 2 && memory.isContiguous)
            self.memory = memory
        }

        package static func columns(tokens: Int) -> Int { pieceRows(tokens: tokens) * tokens }

        func scores(rows: Int, columns: Int) -> Rows { block(0, rows, columns) }
        func gradients(rows: Int, columns: Int) -> Rows { block(1, rows, columns) }

        private func block(_ index: Int, _ rows: Int, _ columns: Int) -> Rows {
            precondition(rows * columns <= memory.columns, "too little scratch memory")
            return Rows(memory.base + index * memory.stride, rows: rows, columns: columns)
        }
    }

    /// out [Q, W] from the fused projections.
    ///
    /// - Parameters:
    ///   - qkv: [T, 3W], the columns of q, then k, then v.
    ///   - queries: the rows whose queries are answered, Q of them; other rows' q are not read.
    package func forward(_ qkv: Rows, queries: Range<Int>, into out: Rows, scratch: Scratch) {
        precondition(out.rows == queries.count && out.columns == width)
        for head in 0..<heads {
            let part = split(qkv, head: head)
            forEachPiece(of: queries, tokens: qkv.rows) { piece, keys in
                let p = scratch.scores(rows: piece.count, columns: keys)
                probabilities(part, piece, into: p)
                MatrixProduct.multiply(
                    p.constant, part.v.rows(0..<keys).constant, .plain,
                    into: columns(of: out, head: head).rows(piece.moved(by: -queries.lowerBound)))
            }
        }
    }

    /// dqkv [T, 3W] from dOut [Q, W]. Reads the forward's q, k and v.
    ///
    /// Rows of dq outside `queries` are left as they are; dk and dv are complete.
    package func backward(
        _ dOut: Rows, qkv: Rows, queries: Range<Int>, into dqkv: Rows, scratch: Scratch
    ) {
        precondition(dOut.rows == queries.count && dOut.columns == width)
        precondition(dqkv.rows == qkv.rows)
        let scale = scoreScale
        for head in 0..<heads {
            let part = split(qkv, head: head)
            let gradient = split(dqkv, head: head)
            // Pieces add to dk and dv in turn; a causal piece reaches only some of the keys.
            gradient.k.fill(0)
            gradient.v.fill(0)
            forEachPiece(of: queries, tokens: qkv.rows) { piece, keys in
                let k = part.k.rows(0..<keys)
                let v = part.v.rows(0..<keys)
                let dOutPiece = columns(of: dOut, head: head)
                    .rows(piece.moved(by: -queries.lowerBound))
                let p = scratch.scores(rows: piece.count, columns: keys)
                let dp = scratch.gradients(rows: piece.count, columns: keys)
                probabilities(part, piece, into: p)
                MatrixProduct.multiply(dOutPiece.constant, v.constant, .rightTransposed, into: dp)
                MatrixProduct.multiply(
                    p.constant, dOutPiece.constant, .leftTransposed,
                    into: gradient.v.rows(0..<keys), accumulate: true)
                gk_softmax_backward(p.base, p.stride, dp.base, dp.stride, p.rows, p.columns)
                MatrixProduct.multiply(
                    dp.constant, k.constant, .plain, into: gradient.q.rows(piece), scale: scale)
                MatrixProduct.multiply(
                    dp.constant, part.q.rows(piece).constant, .leftTransposed,
                    into: gradient.k.rows(0..<keys), scale: scale, accumulate: true)
            }
        }
    }

    private var width: Int { heads * headWidth }
    private var scoreScale: Float { 1 / Float(headWidth).squareRoot() }

    private func split(_ qkv: Rows, head: Int) -> (q: Rows, k: Rows, v: Rows) {
        precondition(qkv.columns == 3 * width)
        let own = head * headWidth..<(head + 1) * headWidth
        return (
            qkv.columns(own), qkv.columns(own.moved(by: width)),
            qkv.columns(own.moved(by: 2 * width))
        )
    }

    private func columns(of rows: Rows, head: Int) -> Rows {
        rows.columns(head * headWidth..<(head + 1) * headWidth)
    }

    /// p [piece, keys] = softmax(q·kᵀ/√d) for one head's piece of queries.
    private func probabilities(
        _ part: (q: Rows, k: Rows, v: Rows), _ piece: Range<Int>, into p: Rows
    ) {
        MatrixProduct.multiply(
            part.q.rows(piece).constant, part.k.rows(0..<p.columns).constant, .rightTransposed,
            into: p, scale: scoreScale)
        if isCausal {
            gk_softmax_causal(p.base, p.stride, p.rows, p.columns, piece.lowerBound)
        } else {
            gk_softmax(p.base, p.stride, p.rows, p.columns)
        }
    }

    /// Calls `body` with each piece of query rows and the number of keys that it can see.
    private func forEachPiece(
        of queries: Range<Int>, tokens: Int, _ body: (Range<Int>, Int) -> Void
    ) {
        precondition(queries.lowerBound >= 0 && queries.upperBound <= tokens)
        let step = Self.pieceRows(tokens: tokens)
        var start = queries.lowerBound
        while start < queries.upperBound {
            let end = min(start + step, queries.upperBound)
            body(start..<end, isCausal ? end : tokens)
            start = end
        }
    }
}

extension Range<Int> {
    fileprivate func moved(by offset: Int) -> Range<Int> {
        lowerBound + offset..<upperBound + offset
    }
}
