/// A tensor as a strided view of a run of elements, checked once so that reading needs no checks.
struct StridedView: Sendable, Equatable {
    let type: StoredType
    let shape: [Int]
    /// In elements.
    private let strides: [Int]
    /// Where the first element is in the file, in bytes.
    private let start: Int
    let elementCount: Int
    /// Whether the elements follow one another in row-major order.
    let isContiguous: Bool

    /// - Parameters:
    ///   - storage: where the storage is in the file, in bytes.
    ///   - name: of the tensor, for messages.
    /// - Throws: `EncoderError.tensor` when an element would be outside the storage, or when the view
    ///   has more elements than the storage (a broadcast, which would let a small file ask for any
    ///   amount of memory).
    init(
        _ tensor: PickleHeap.Tensor, type: StoredType, storage: Range<Int>, name: String,
        path: String
    ) throws(EncoderError) {
        let available = storage.count / type.size
        var count = 1
        var last = tensor.offset
        var overflow = false
        for (size, stride) in zip(tensor.shape, tensor.strides) {
            let (product, tooMany) = count.multipliedReportingOverflow(by: size)
            let (span, tooFar) = max(0, size - 1).multipliedReportingOverflow(by: stride)
            let (sum, beyond) = last.addingReportingOverflow(span)
            overflow = overflow || tooMany || tooFar || beyond
            (count, last) = (product, sum)
        }
        let isInside = count == 0 ? tensor.offset <= available : last < available
        guard !overflow, isInside, count <= available else {
            throw .tensor(
                path: path, name: name,
                expected: "a view of the storage's \(available) elements",
                actual: "shape \(tensor.shape), strides \(tensor.strides), offset \(tensor.offset)")
        }
        self.type = type
        shape = tensor.shape
        strides = tensor.strides
        start = storage.lowerBound + tensor.offset * type.size
        elementCount = count
        var expected = 1
        var isContiguous = true
        for (size, stride) in zip(shape, strides).reversed() where size != 1 {
            if stride != expected { isContiguous = false }
            expected *= size
        }
        self.isContiguous = isContiguous || count == 0
    }

    /// The elements' bytes in row-major order, in pieces.
    ///
    /// - Throws: `EncoderError.file` when the file changed meanwhile.
    func readBytes(
        of file: MappedBytes, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(EncoderError) {
        let length = elementCount * type.size
        if isContiguous {
            try file.readPieces(start..<start + length, length: type.pieceLength, body)
            return
        }
        let span = zip(shape, strides).reduce(1) { $0 + ($1.0 - 1) * $1.1 } * type.size
        var stored: [UInt8] = []
        stored.reserveCapacity(span)
        try file.readPieces(start..<start + span, length: type.pieceLength) { stored += $0 }
        let bytes = [UInt8](unsafeUninitializedCapacity: length) { output, initialized in
            stored.withUnsafeBytes {
                gather($0, into: UnsafeMutableRawBufferPointer(output))
            }
            initialized = length
        }
        bytes.withUnsafeBytes(body)
    }

    /// - Parameter span: the bytes from the first element to the last.
    private func gather(
        _ span: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) {
        var index = [Int](repeating: 0, count: shape.count)
        var position = 0
        let size = type.size
        for target in stride(from: 0, to: elementCount * size, by: size) {
            for byte in 0..<size { output[target + byte] = span[position + byte] }
            var axis = shape.count - 1
            while axis >= 0 {
                index[axis] += 1
                position += strides[axis] * size
                if index[axis] < shape[axis] { break }
                position -= shape[axis] * strides[axis] * size
                index[axis] = 0
                axis -= 1
            }
        }
    }
}
