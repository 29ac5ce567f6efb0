/// What makes an embedding of a pooled state: the last norm, and the projection where there is one.
struct TowerHead: Sendable {
    private let norm: LayerNorm
    private let projection: Linear?
    let width: Int
    /// Values in an embedding.
    let embeddingWidth: Int

    init(norm: LayerNorm, projection: [Float]?, width: Int, outputs: Int?, options: ComputeOptions)
    {
        self.norm = norm
        self.width = width
        let embeddingWidth = outputs ?? width
        self.embeddingWidth = embeddingWidth
        self.projection = projection.map {
            Linear(
                weight: $0, bias: nil, inputs: width, outputs: embeddingWidth,
                element: options.precision.activations, backend: options.backend,
                gradients: options.gradients)
        }
    }

    /// Memory that the weights take.
    var bytes: Int { (projection?.bytes ?? 0) + 8 * width }

    /// How much of it is held for gradients alone.
    var gradientBytes: Int { projection?.gradientBytes ?? 0 }

    /// The norm alone, of any rows of the tower's width.
    func normalize(_ x: Rows, into y: Rows, seat: ComputeSeat) {
        norm.forward(x, into: Block(y), seat: seat)
    }

    /// Embeddings of pooled states [N, W]; statistics go to `keeping` if it is given.
    func forward(
        _ pooled: Rows, _ memory: HeadMemory, keeping statistics: NormStatistics?,
        seat: ComputeSeat
    ) -> [[Float]] {
        let normed = memory.normed.view.rows(0..<pooled.rows)
        guard let projection else {
            let plain = memory.plain.view.rows(0..<pooled.rows)
            norm.forward(pooled, into: Block(plain), keeping: statistics, seat: seat)
            return (0..<plain.rows).map { plain.rows($0..<$0 + 1).array() }
        }
        norm.forward(pooled, into: normed, keeping: statistics, seat: seat)
        let embeddings = memory.embeddings.view.rows(0..<pooled.rows)
        projection.forward(Operand(normed), into: Block(embeddings), seat: seat)
        return (0..<embeddings.rows).map { embeddings.rows($0..<$0 + 1).array() }
    }

    /// The gradient of pooled states [N, W] from those of the embeddings. Reads the forward's pooled
    /// states and statistics.
    func backward(
        _ dEmbeddings: [[Float]], _ memory: HeadMemory, pooled: Rows, statistics: NormStatistics,
        into dPooled: Rows, seat: ComputeSeat
    ) {
        let count = dEmbeddings.count
        let dNormed = memory.plain.view.rows(0..<count)
        if let projection {
            let factor = memory.factor.view.rows(0..<count)
            for (row, values) in dEmbeddings.enumerated() { factor.setRow(row, values) }
            projection.inputGradient(Operand(factor), into: Block(dNormed), seat: seat)
        } else {
            for (row, values) in dEmbeddings.enumerated() { Block(dNormed).setRow(row, values) }
        }
        norm.backward(
            dNormed, x: pooled, statistics: statistics, into: dPooled, accumulate: false,
            seat: seat)
    }
}

/// Memory of a tower's head for up to a number of pooled states.
final class HeadMemory {
    /// [N, W] in the element.
    let normed: BlockBuffer
    /// [N, W]
    let plain: RowBuffer
    /// [N, D]
    let embeddings: RowBuffer
    /// [N, D] in the element.
    let factor: BlockBuffer

    init(count: Int, width: Int, embeddingWidth: Int, element: Element) {
        normed = BlockBuffer(rows: count, columns: width, element: element)
        plain = RowBuffer(rows: count, columns: width)
        embeddings = RowBuffer(rows: count, columns: embeddingWidth)
        factor = BlockBuffer(rows: count, columns: embeddingWidth, element: element)
    }

    var bytes: Int { normed.bytes + plain.bytes + embeddings.bytes + factor.bytes }
}

extension Block {
    fileprivate func setRow(_ index: Int, _ values: [Float]) {
        precondition(values.count == columns, "the gradient of another embedding")
        values.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            setRow(index, from: 0, start, count: columns)
        }
    }
}
