/// The first step of a vision transformer: square patches, each projected to a token, behind a class
/// token, plus position embeddings.
///
/// The convolution's stride is the patch, so it is one product with the image rearranged to
/// [patches, 3·P·P]. Pixels right of and below the last whole patch are not looked at.
struct PatchEmbedding: Sendable {
    private let patchSize: Int
    private let imageSize: Int
    private let grid: Int
    private let projection: Linear
    private let classToken: [Float]
    /// [T, W]
    private let positions: [Float]

    init(
        _ configuration: VisionConfiguration, kernels: [Float], classToken: [Float],
        positions: [Float]
    ) {
        patchSize = configuration.patchSize
        imageSize = configuration.imageSize
        grid = configuration.grid
        projection = Linear(
            weight: kernels, bias: nil, inputs: 3 * patchSize * patchSize,
            outputs: configuration.width)
        self.classToken = classToken
        self.positions = positions
    }

    /// tokens [T, W] from pixels [3, S, S]; `patches` is scratch memory, [T − 1, 3·P·P].
    func forward(_ pixels: [Float], into tokens: Rows, patches: Rows) {
        pixels.withUnsafeBufferPointer { buffer in
            guard let image = buffer.baseAddress else { return }
            forEachRun { pixel, patch, column in
                (patches.base + patch * patches.stride + column)
                    .update(from: image + pixel, count: patchSize)
            }
        }
        // The positions are what the product is added to.
        tokens.copy(from: positions)
        classToken.withUnsafeBufferPointer { values in
            for index in values.indices { tokens.base[index] += values[index] }
        }
        let patchTokens = tokens.rows(1..<tokens.rows)
        projection.forward(patches, into: patchTokens, .adding(patchTokens))
    }

    /// dPixels [3, S, S] from dTokens [T, W]; `patches` is scratch memory, [T − 1, 3·P·P].
    func backward(_ dTokens: Rows, patches: Rows) -> [Float] {
        projection.inputGradient(dTokens.rows(1..<dTokens.rows), into: patches)
        let count = 3 * imageSize * imageSize
        return [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            buffer.initialize(repeating: 0)
            if let image = buffer.baseAddress {
                forEachRun { pixel, patch, column in
                    (image + pixel).update(
                        from: patches.base + patch * patches.stride + column, count: patchSize)
                }
            }
            initialized = count
        }
    }

    /// Calls `body` with (pixel, patch, column) for each horizontal run of `patchSize` pixels: its
    /// start in the image, and its row and column among the patches.
    private func forEachRun(_ body: (Int, Int, Int) -> Void) {
        for y in 0..<grid {
            for x in 0..<grid {
                for channel in 0..<3 {
                    for line in 0..<patchSize {
                        body(
                            (channel * imageSize + y * patchSize + line) * imageSize
                                + x * patchSize,
                            y * grid + x, (channel * patchSize + line) * patchSize)
                    }
                }
            }
        }
    }
}
