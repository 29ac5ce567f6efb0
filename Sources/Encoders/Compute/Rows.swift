internal import CKernels

/// A row-major block of floats that somebody else owns: `rows` × `columns`, with `stride` floats from
/// the start of one row to the start of the next.
///
/// A view into a workspace: valid while the workspace lives. Slices share its memory.
package struct Rows {
    package let base: UnsafeMutablePointer<Float>
    package let rows: Int
    package let columns: Int
    package let stride: Int

    package init(_ base: UnsafeMutablePointer<Float>, rows: Int, columns: Int, stride: Int? = nil) {
        let stride = stride ?? columns
        precondition(rows >= 0 && columns >= 0 && stride >= columns, "no such block")
        self.base = base
        self.rows = rows
        self.columns = columns
        self.stride = stride
    }

    /// The same memory, for reading.
    package var constant: ConstantRows {
        ConstantRows(base, rows: rows, columns: columns, stride: stride)
    }

    package func rows(_ range: Range<Int>) -> Rows {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows, "rows outside the block")
        return Rows(
            base + range.lowerBound * stride, rows: range.count, columns: columns, stride: stride)
    }

    package func columns(_ range: Range<Int>) -> Rows {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= columns, "columns outside the block")
        return Rows(base + range.lowerBound, rows: rows, columns: range.count, stride: stride)
    }

    /// Copies the values of a block of the same size that does not overlap.
    package func copy(from other: Rows) {
        precondition(other.rows == rows && other.columns == columns, "blocks differ in size")
        for row in 0..<rows {
            (base + row * stride).update(from: other.base + row * other.stride, count: columns)
        }
    }

    /// Copies an array's values, row after row; it must have exactly as many.
    package func copy(from values: [Float]) {
        precondition(values.count == rows * columns, "block and array differ in size")
        values.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            for row in 0..<rows {
                (base + row * stride).update(from: start + row * columns, count: columns)
            }
        }
    }

    /// Copies row `source` of a block of the same width to row `target` of this one.
    package func copyRow(_ target: Int, from other: Rows, row source: Int) {
        precondition(other.columns == columns, "blocks differ in size")
        (base + target * stride).update(from: other.base + source * other.stride, count: columns)
    }

    /// Adds row `source` of a block of the same width to row `target` of this one.
    package func addRow(_ target: Int, from other: Rows, row source: Int) {
        precondition(other.columns == columns, "blocks differ in size")
        let row = base + target * stride
        gk_add(row, other.base + source * other.stride, row, columns)
    }

    package func fill(_ value: Float) {
        for row in 0..<rows {
            (base + row * stride).update(repeating: value, count: columns)
        }
    }

    /// The values, row after row.
    package func array() -> [Float] {
        [Float](unsafeUninitializedCapacity: rows * columns) { buffer, count in
            if let start = buffer.baseAddress {
                for row in 0..<rows {
                    (start + row * columns).initialize(from: base + row * stride, count: columns)
                }
            }
            count = rows * columns
        }
    }
}

/// A block like ``Rows`` that is only read.
package struct ConstantRows {
    package let base: UnsafePointer<Float>
    package let rows: Int
    package let columns: Int
    package let stride: Int

    package init(_ base: UnsafePointer<Float>, rows: Int, columns: Int, stride: Int? = nil) {
        let stride = stride ?? columns
        precondition(rows >= 0 && columns >= 0 && stride >= columns, "no such block")
        self.base = base
        self.rows = rows
        self.columns = columns
        self.stride = stride
    }
}

/// Owns the memory of one block of floats, zeroed and aligned to a cache line, and lends it as `view`.
///
/// A view does not keep its buffer alive. Buffers belong to workspaces, and whoever computes in a
/// workspace was given it by a caller who holds it meanwhile.
package final class RowBuffer {
    package let view: Rows

    /// Rows are `Element.f32.rowStride(columns:)` floats apart; a single row is as long as it is.
    package init(rows: Int, columns: Int) {
        let stride = rows > 1 ? Element.f32.rowStride(columns: columns) : columns
        let count = max(rows * stride, 1)
        let memory = UnsafeMutableRawPointer.allocate(
            byteCount: count * MemoryLayout<Float>.stride, alignment: 64)
        let base = memory.bindMemory(to: Float.self, capacity: count)
        base.initialize(repeating: 0, count: count)
        view = Rows(base, rows: rows, columns: columns, stride: stride)
    }

    deinit { UnsafeMutableRawPointer(view.base).deallocate() }

    /// Size of the values, without the allocator's own.
    package var bytes: Int { view.rows * view.stride * MemoryLayout<Float>.stride }
}
