internal import CKernels

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
        positions: [Float], options: ComputeOptions
    ) {
        patchSize = configuration.patchSize
        imageSize = configuration.imageSize
        grid = configuration.grid
        // The pixels' own products stay above bytes: everything hangs on them.
        projection = Linear(
            weight: kernels, bias: nil, inputs: 3 * patchSize * patchSize,
            outputs: configuration.width, element: options.precision.activations,
            backend: options.backend, gradients: options.gradients)
        self.classToken = classToken
        self.positions = positions
    }

    /// How much of the weights' memory is held for gradients alone.
    var gradientBytes: Int { projection.gradientBytes }

    /// Memory that the weights take.
    var bytes: Int { projection.bytes + (classToken.count + positions.count) * 4 }

    /// tokens [N·T, W] from N images [3, S, S].
    ///
    /// - Parameters:
    ///   - patches: scratch memory, [N·(T − 1), 3·P·P].
    ///   - projected: scratch memory, [N·(T − 1), W].
    func forward(
        _ images: [[Float]], into tokens: Rows, patches: Block, projected: Rows, seat: ComputeSeat
    ) {
        let own = grid * grid
        let count = images.count * own
        for (index, pixels) in images.enumerated() {
            let block = patches.rows(index * own..<(index + 1) * own)
            pixels.withUnsafeBufferPointer { buffer in
                guard let image = buffer.baseAddress else { return }
                forEachRun { pixel, patch, column in
                    block.setRow(patch, from: column, image + pixel, count: patchSize)
                }
            }
        }
        let projected = projected.rows(0..<count)
        projection.forward(Operand(patches.rows(0..<count)), into: Block(projected), seat: seat)
        positions.withUnsafeBufferPointer { positions in
            classToken.withUnsafeBufferPointer { classToken in
                guard let positions = positions.baseAddress, let classToken = classToken.baseAddress
                else { return }
                for image in images.indices {
                    let first = tokens.base + image * (own + 1) * tokens.stride
                    gk_add(classToken, positions, first, tokens.columns)
                    for patch in 0..<own {
                        gk_add(
                            projected.base + (image * own + patch) * projected.stride,
                            positions + (patch + 1) * tokens.columns,
                            first + (patch + 1) * tokens.stride, tokens.columns)
                    }
                }
            }
        }
    }

    /// dPixels [3, S, S] of `count` images from dTokens [N·T, W]; scratch memory as in the forward,
    /// `factor` [N·(T − 1), W] in the element, `dPatches` [N·(T − 1), 3·P·P].
    func backward(
        _ dTokens: Rows, count: Int, factor: Block, dPatches: Rows, seat: ComputeSeat
    ) -> [[Float]] {
        let own = grid * grid
        let factor = factor.rows(0..<count * own)
        for image in 0..<count {
            for patch in 0..<own {
                factor.setRow(
                    image * own + patch, from: 0,
                    dTokens.base + (image * (own + 1) + patch + 1) * dTokens.stride,
                    count: dTokens.columns)
            }
        }
        let dPatches = dPatches.rows(0..<count * own)
        projection.inputGradient(Operand(factor), into: Block(dPatches), seat: seat)
        let size = 3 * imageSize * imageSize
        return (0..<count).map { index in
            [Float](unsafeUninitializedCapacity: size) { buffer, initialized in
                buffer.initialize(repeating: 0)
                if let image = buffer.baseAddress {
                    let block = dPatches.rows(index * own..<(index + 1) * own)
                    forEachRun { pixel, patch, column in
                        (image + pixel).update(
                            from: block.base + patch * block.stride + column, count: patchSize)
                    }
                }
                initialized = size
            }
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
