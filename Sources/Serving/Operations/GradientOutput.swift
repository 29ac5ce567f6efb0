import IPC

/// Gradients on their way into the reply, each in the reply's datatype from the moment it is there.
///
/// `gradient` [N, 3, H, W] when the images that did not fail have one size, else `gradient.i`
/// [3, H, W]. Where the headers say one size for all, the output is one piece of memory from the
/// beginning, and each image writes its own part.
struct GradientOutput: Sendable {
    private struct Single: Sendable {
        let height: Int
        let width: Int
        let frame: Frame
    }

    private struct Shared: Sendable {
        let size: RequestImages.Size
        let memory: FrameBuilder
    }

    private let datatype: OutputDatatype
    private let shared: Shared?
    private let singles: Slots<Single>

    /// - Throws: `overloaded` when the system has no memory for the output.
    init(_ images: RequestImages, _ datatype: OutputDatatype) throws(WireFault) {
        self.datatype = datatype
        singles = Slots(count: images.count)
        let sizes = (0..<images.count).compactMap(images.size)
        guard images.count > 1, let first = sizes.first,
            sizes.allSatisfy({ ($0.height, $0.width) == (first.height, first.width) })
        else {
            shared = nil
            return
        }
        let bytes = images.count * 3 * first.pixels * (datatype.datatype.size ?? 0)
        guard let memory = FrameBuilder(count: bytes) else { throw .noMemory(bytes) }
        shared = Shared(size: first, memory: memory)
    }

    /// Takes an image's gradient [3, H, W].
    ///
    /// - Returns: how many values become 0 in the datatype.
    /// - Throws: as `OutputDatatype.check`.
    func take(
        _ gradient: [Float], _ item: Int, height: Int, width: Int
    ) throws(WireFault) -> Int {
        try datatype.check(gradient, named: "gradient")
        let frame = try TensorEncoding.tensor(
            name: "gradient", shape: [3, height, width], values: gradient,
            as: datatype.datatype
        ).frame
        if let shared, (height, width) == (shared.size.height, shared.size.width) {
            frame.withUnsafeBytes { shared.memory.write($0, at: item * $0.count) }
        } else {
            singles[item] = Single(height: height, width: width, frame: frame)
        }
        return datatype.vanishing(gradient)
    }

    /// - Parameter isThere: for each item, whether it did not fail.
    func outputs(isThere: [Bool]) throws(WireFault) -> [Output] {
        guard isThere.contains(true) else { return [] }
        if let shared {
            let (height, width) = (shared.size.height, shared.size.width)
            for (item, isThere) in isThere.enumerated() where !isThere {
                try writeNaN(shared.memory, item, height: height, width: width)
            }
            return [
                output("gradient", [isThere.count, 3, height, width], shared.memory.frame)
            ]
        }
        let known = isThere.indices.map { isThere[$0] ? singles[$0] : nil }
        guard let first = known.lazy.compactMap({ $0 }).first else { return [] }
        let isUniform = known.allSatisfy {
            $0 == nil || ($0?.height == first.height && $0?.width == first.width)
        }
        guard isUniform else {
            return known.enumerated().compactMap { item, single in
                single.map { output("gradient.\(item)", [3, $0.height, $0.width], $0.frame) }
            }
        }
        let shape = [isThere.count, 3, first.height, first.width]
        if known.count == 1 { return [output("gradient", shape, first.frame)] }
        let bytes = known.count * first.frame.count
        guard let memory = FrameBuilder(count: bytes) else { throw .noMemory(bytes) }
        for (item, single) in known.enumerated() {
            if let single {
                single.frame.withUnsafeBytes { memory.write($0, at: item * $0.count) }
                singles[item] = nil
            } else {
                try writeNaN(memory, item, height: first.height, width: first.width)
            }
        }
        return [output("gradient", shape, memory.frame)]
    }

    private func writeNaN(
        _ memory: FrameBuilder, _ item: Int, height: Int, width: Int
    ) throws(WireFault) {
        // A row at a time.
        let row = try TensorEncoding.tensor(
            name: "", shape: [width], values: [Float](repeating: .nan, count: width),
            as: datatype.datatype
        ).frame
        for line in 0..<3 * height {
            row.withUnsafeBytes { memory.write($0, at: (item * 3 * height + line) * $0.count) }
        }
    }

    private func output(_ name: String, _ shape: [Int], _ frame: Frame) -> Output {
        Output(TensorHeader(name: name, datatype: datatype.datatype, shape: shape), frame)
    }
}
