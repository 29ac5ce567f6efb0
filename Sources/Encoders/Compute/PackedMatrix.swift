internal import CKernels

/// A weight matrix packed once for products in one element.
///
/// Immutable after `init`; freed with the object.
final class PackedMatrix: @unchecked Sendable {
    // Invariant: nothing writes to the memory after `init`.
    let packed: gk_packed
    let bytes: Int
    private let data: UnsafeMutableRawPointer
    private let scales: UnsafeMutablePointer<Float>?
    private let sums: UnsafeMutablePointer<Int32>?

    /// Packs `weight`[firstOutput…], row-major [outputs, inputs], or its transpose, for products that
    /// give its inputs from its outputs.
    init(
        _ weight: [Float], firstOutput: Int, inputs: Int, outputs: Int, transposed: Bool,
        element: Element
    ) {
        let columns = transposed ? inputs : outputs
        let depth = transposed ? outputs : inputs
        let bytes = gk_packed_bytes(element.rawValue, depth, columns)
        // A tile asks for memory ahead of where it reads, which need not exist.
        let data = UnsafeMutableRawPointer.allocate(byteCount: max(bytes, 64), alignment: 64)
        let scales: UnsafeMutablePointer<Float>? =
            element == .s8 ? .allocate(capacity: columns) : nil
        let sums: UnsafeMutablePointer<Int32>? =
            element == .s8 ? .allocate(capacity: columns) : nil
        weight.withUnsafeBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            gk_pack(
                start + firstOutput * inputs, transposed ? 1 : inputs, transposed ? inputs : 1,
                depth, columns, element.rawValue, data, scales, sums)
        }
        packed = gk_packed(
            element: element.rawValue, inputs: depth, outputs: columns, data: data, scales: scales,
            sums: sums)
        self.bytes = bytes
        self.data = data
        self.scales = scales
        self.sums = sums
    }

    /// Packs the transpose of a matrix that is no transpose itself, as if from the weights that it was
    /// packed from: widening what was rounded once and rounding it again changes nothing.
    ///
    /// - Precondition: `other` is not of bytes.
    convenience init(transposing other: PackedMatrix) {
        let inputs = other.packed.inputs
        let outputs = other.packed.outputs
        guard let element = Element(rawValue: other.packed.element), element != .s8 else {
            preconditionFailure("bytes have no gradients")
        }
        let weights = [Float](unsafeUninitializedCapacity: inputs * outputs) { output, count in
            withUnsafePointer(to: other.packed) { gk_unpack($0, output.baseAddress, inputs, 1) }
            count = inputs * outputs
        }
        self.init(
            weights, firstOutput: 0, inputs: inputs, outputs: outputs, transposed: true,
            element: element)
    }

    deinit {
        data.deallocate()
        scales?.deallocate()
        sums?.deallocate()
    }

    /// Multiplies; `x` must be of this matrix's element.
    func multiply(_ x: Operand, _ epilogue: inout gk_epilogue, seat: ComputeSeat) {
        precondition(x.block.element.rawValue == packed.element, "an operand of another element")
        precondition(x.block.columns == packed.inputs, "an operand of another width")
        withUnsafePointer(to: packed) { packed in
            gk_multiply(
                seat.pointer, packed, x.block.base, x.block.stride, x.scales, x.block.rows,
                &epilogue)
        }
    }
}
