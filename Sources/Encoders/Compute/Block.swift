internal import CKernels

/// A row-major block of numbers of any element that somebody else owns; `stride` numbers from one row
/// to the next.
///
/// Valid while its owner lives, like ``Rows``, which is the same for fp32 alone.
package struct Block {
    package let base: UnsafeMutableRawPointer
    package let rows: Int
    package let columns: Int
    package let stride: Int
    package let element: Element

    package init(
        _ base: UnsafeMutableRawPointer, rows: Int, columns: Int, stride: Int, element: Element
    ) {
        precondition(rows >= 0 && columns >= 0 && stride >= columns, "no such block")
        self.base = base
        self.rows = rows
        self.columns = columns
        self.stride = stride
        self.element = element
    }

    package init(_ rows: Rows) {
        self.init(
            rows.base, rows: rows.rows, columns: rows.columns, stride: rows.stride, element: .f32)
    }

    package func rows(_ range: Range<Int>) -> Block {
        precondition(range.lowerBound >= 0 && range.upperBound <= rows, "rows outside the block")
        return Block(
            base + range.lowerBound * stride * element.bytes, rows: range.count, columns: columns,
            stride: stride, element: element)
    }

    package func columns(_ range: Range<Int>) -> Block {
        precondition(
            range.lowerBound >= 0 && range.upperBound <= columns, "columns outside the block")
        return Block(
            base + range.lowerBound * element.bytes, rows: rows, columns: range.count,
            stride: stride, element: element)
    }

    /// The same memory as fp32; it must be.
    package var floats: Rows {
        precondition(element == .f32, "not a block of fp32")
        return Rows(
            base.assumingMemoryBound(to: Float.self), rows: rows, columns: columns, stride: stride)
    }

    /// One row's start.
    func row(_ index: Int) -> UnsafeMutableRawPointer { base + index * stride * element.bytes }

    /// Copies row `source` of a block of the same element to row `target` of this one.
    func copyRow(_ target: Int, from other: Block, row source: Int) {
        precondition(other.element == element && other.columns == columns, "blocks differ")
        row(target).copyMemory(from: other.row(source), byteCount: columns * element.bytes)
    }

    var view: gk_view { gk_view(base: base, stride: stride, element: element.rawValue) }

    static var noView: gk_view { gk_view(base: nil, stride: 0, element: 0) }
}

/// Owns the memory of one block, zeroed and aligned to a cache line.
package final class BlockBuffer {
    package let view: Block
    /// Size of the values.
    package let bytes: Int

    /// Rows are `element.rowStride(columns:)` numbers apart.
    package init(rows: Int, columns: Int, element: Element) {
        let stride = element.rowStride(columns: columns)
        bytes = max(rows * stride * element.bytes, 1)
        // Vectors may read up to a cache line behind the last number.
        let memory = UnsafeMutableRawPointer.allocate(byteCount: bytes + 64, alignment: 64)
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes + 64)
        view = Block(memory, rows: rows, columns: columns, stride: stride, element: element)
    }

    deinit { view.base.deallocate() }
}

/// The left factor of a product: a block, and for bytes one scale and zero point a row.
package struct Operand {
    package let block: Block
    let scales: UnsafeMutablePointer<gk_row_scale>?

    package init(_ block: Block) { self.init(block, scales: nil) }

    init(_ block: Block, scales: UnsafeMutablePointer<gk_row_scale>?) {
        precondition((block.element == .s8) == (scales != nil), "bytes have scales")
        self.block = block
        self.scales = scales
    }

    package func rows(_ range: Range<Int>) -> Operand {
        Operand(block.rows(range), scales: scales.map { $0 + range.lowerBound })
    }
}

/// Memory for blocks turned into bytes, with what each row's bytes stand for.
package final class QuantizedBuffer {
    private let values: BlockBuffer
    private let scales: UnsafeMutablePointer<gk_row_scale>

    package init(rows: Int, columns: Int) {
        values = BlockBuffer(rows: rows, columns: columns, element: .s8)
        scales = .allocate(capacity: rows)
        scales.initialize(repeating: gk_row_scale(), count: rows)
    }

    deinit { scales.deallocate() }

    var bytes: Int { values.bytes + values.view.rows * MemoryLayout<gk_row_scale>.stride }

    /// `x` in bytes; overwrites what was quantised before.
    package func quantize(_ x: Block, seat: ComputeSeat = .alone) -> Operand {
        precondition(x.rows <= values.view.rows && x.columns <= values.view.columns, "too large")
        let stride = Element.s8.rowStride(columns: x.columns)
        gk_quantize_rows(
            seat.pointer, x.view, x.rows, x.columns,
            values.view.base.assumingMemoryBound(to: UInt8.self), stride, scales)
        return Operand(
            Block(
                values.view.base, rows: x.rows, columns: x.columns, stride: stride, element: .s8),
            scales: scales)
    }
}

extension Block {
    /// Writes fp32 values into a row from a column on, as bfloat16s where the block is of those.
    func setRow(_ index: Int, from column: Int, _ values: UnsafePointer<Float>, count: Int) {
        precondition(index < rows && column + count <= columns && element != .s8, "outside")
        let start = row(index) + column * element.bytes
        if element == .f32 {
            start.copyMemory(from: values, byteCount: count * 4)
        } else {
            gk_narrow_bf16(values, start.assumingMemoryBound(to: UInt16.self), count)
        }
    }

    /// The nearest bfloat16s of a block of fp32 of the same size.
    package func narrow(from x: Rows) {
        precondition(element == .bf16 && x.rows == rows && x.columns == columns, "blocks differ")
        for index in 0..<rows {
            gk_narrow_bf16(
                x.base + index * x.stride, row(index).assumingMemoryBound(to: UInt16.self), columns)
        }
    }
}
