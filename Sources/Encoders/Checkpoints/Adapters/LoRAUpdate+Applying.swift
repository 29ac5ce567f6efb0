extension LoRA.Update {
    /// Changes the rows of a matrix that begin at `firstRow`.
    ///
    /// - Parameter size: how many rows, and the matrix' columns.
    func apply(
        to weight: inout [Float], firstRow: Int, size: (rows: Int, columns: Int),
        _ strength: Float
    ) {
        let start = firstRow * size.columns
        let count = size.rows * size.columns
        precondition(weight.count >= start + count, "sizes are checked before")
        weight.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { return }
            let block = Rows(base + start, rows: size.rows, columns: size.columns)
            guard let magnitude else {
                add(to: block, strength * scale)
                return
            }
            let before = block.array()
            add(to: block, scale)
            switch magnitude {
            case .rows(let lengths): Self.rescaleRows(block, lengths)
            case .columns(let lengths): Self.rescaleColumns(block, lengths)
            }
            guard strength != 1 else { return }
            for index in 0..<count {
                block.base[index] = before[index] + strength * (block.base[index] - before[index])
            }
        }
    }

    /// block += factor · what the change adds; IA³ multiplies by 1 + factor · its numbers.
    private func add(to block: Rows, _ factor: Float) {
        switch change {
        case .lowRank(let up, let down):
            up.values.withUnsafeBufferPointer { up in
                down.values.withUnsafeBufferPointer { right in
                    guard let up = up.baseAddress, let right = right.baseAddress else { return }
                    MatrixProduct.multiply(
                        ConstantRows(up, rows: block.rows, columns: down.rows),
                        ConstantRows(right, rows: down.rows, columns: block.columns), .plain,
                        into: block, scale: factor, accumulate: true)
                }
            }
        case .hadamard(let a, let b, let c, let d):
            let left = a.times(b).values
            let right = c.times(d).values
            for index in 0..<block.rows * block.columns {
                block.base[index] += factor * (left[index] * right[index])
            }
        case .kronecker(let a, let b):
            for row in 0..<block.rows {
                let start = block.base + row * block.stride
                for column in 0..<block.columns {
                    let outer = a.values[row / b.rows * a.columns + column / b.columns]
                    let inner = b.values[row % b.rows * b.columns + column % b.columns]
                    start[column] += factor * (outer * inner)
                }
            }
        case .full(let all):
            for index in 0..<block.rows * block.columns {
                block.base[index] += factor * all.values[index]
            }
        case .rows(let numbers):
            for row in 0..<block.rows {
                let start = block.base + row * block.stride
                for column in 0..<block.columns { start[column] *= 1 + factor * numbers[row] }
            }
        case .columns(let numbers):
            for row in 0..<block.rows {
                let start = block.base + row * block.stride
                for column in 0..<block.columns { start[column] *= 1 + factor * numbers[column] }
            }
        }
    }

    private static func rescaleRows(_ block: Rows, _ lengths: [Float]) {
        for row in 0..<block.rows {
            let start = block.base + row * block.stride
            var sum = 0.0
            for column in 0..<block.columns {
                sum += Double(start[column]) * Double(start[column])
            }
            let factor = sum > 0 ? Float(Double(lengths[row]) / sum.squareRoot()) : 0
            for column in 0..<block.columns { start[column] *= factor }
        }
    }

    private static func rescaleColumns(_ block: Rows, _ lengths: [Float]) {
        var sums = [Double](repeating: 0, count: block.columns)
        for row in 0..<block.rows {
            let start = block.base + row * block.stride
            for column in 0..<block.columns {
                sums[column] += Double(start[column]) * Double(start[column])
            }
        }
        let factors = zip(sums, lengths).map { sum, length in
            sum > 0 ? Float(Double(length) / sum.squareRoot()) : 0
        }
        for row in 0..<block.rows {
            let start = block.base + row * block.stride
            for column in 0..<block.columns { start[column] *= factors[column] }
        }
    }
}
