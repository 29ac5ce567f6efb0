/// What whoever uses an image tower must know of it.
public struct ImageTowerSizes: Sendable, Equatable {
    /// Side of the square input, pixels.
    public let imageSize: Int
    /// Side of a square patch, pixels.
    public let patchSize: Int
    /// Rows of the hidden states: patches, and what else the family has.
    public let tokens: Int
    /// Width of the hidden states.
    public let width: Int
    public let layers: Int
    public let heads: Int
    /// Width of the joint space; `nil` for a tower without a projection.
    public let projection: Int?

    /// Values in an embedding: the projection's width, or the hidden states' without one.
    public var embeddingWidth: Int { projection ?? width }
}

/// An image tower of any family: pixels to an embedding or to hidden states, and the way back to the
/// pixels.
///
/// Immutable: any number of threads may use it at once, each with a workspace of its own. The same
/// pixels always give the same bits, whatever else is in their group or computed beside them.
///
/// Images are [3, S, S], normalised as the model's preprocessing does; a group has up to the
/// workspace's capacity of them. Every method that takes images throws `EncoderError.image` when their
/// number of pixels is not the tower's.
public protocol ImageTower: AnyObject, Sendable {
    var sizes: ImageTowerSizes { get }
    /// How the weights are held.
    var options: ComputeOptions { get }
    /// Memory that the weights take, what gradients need of them included.
    var bytes: Int { get }
    /// How much of it is held for gradients alone; grows with the first gradient when
    /// `options.gradients` is lazy.
    var gradientWeightBytes: Int { get }
    /// Images that are worth computing together: enough rows to read each weight seldom, few enough
    /// to stay in the caches. 1 where results depend on the number of rows.
    var preferredGroup: Int { get }
    /// Towers of equal kinds may use the same workspaces.
    var workspaceKind: WorkspaceKind { get }

    /// Memory for one thread.
    ///
    /// - Parameters:
    ///   - capacity: images in the largest group.
    ///   - slots: places of the team whose seats the workspace will be given.
    ///   - activationBudget: bytes that a gradient's kept activations may take; beyond it they are
    ///     recomputed layer by layer.
    func makeWorkspace(
        capacity: Int, slots: Int, activationBudget: Int
    ) -> any ImageWorkspace

    /// Bytes that gradients of a group of `capacity` images add to a workspace, with activations kept
    /// or recomputed.
    func gradientBytes(capacity: Int, slots: Int, recomputes: Bool) -> Int

    /// Embeddings of a group of images, [embeddingWidth] each, not normalised.
    func embed(
        images: [[Float]], workspace: any ImageWorkspace
    ) throws(EncoderError) -> [[Float]]

    /// Hidden states [T, W] of a group of images after a number of blocks, without the final norm;
    /// later blocks are not run.
    ///
    /// - Throws: also `EncoderError.unsupported` for a tower in int8.
    func hiddenStates(
        _ images: [[Float]], after layer: Int, workspace: any ImageWorkspace
    ) throws(EncoderError) -> [[Float]]

    /// The first half of a gradient: the outputs of a group, the same bits as `embed` and
    /// `hiddenStates` give, and in the workspace what the way back will read.
    ///
    /// Work beyond the output is not done: hidden states of an early block cost that many blocks.
    ///
    /// - Throws: also `EncoderError.unsupported` for a tower without gradients.
    func forward(
        _ images: [[Float]], to output: TowerOutput, workspace: any ImageWorkspace
    ) throws(EncoderError) -> ImageTape

    /// The second half: d(loss)/d(pixels), [3, S, S] an image, from d(loss)/d(output).
    ///
    /// - Parameters:
    ///   - dOutputs: one an image, as long as the tape's values.
    ///   - tape: of the last forward in this workspace, which nothing else has used since; a tape
    ///     may be pulled back once.
    func pullback(
        _ dOutputs: [[Float]], through tape: ImageTape, workspace: any ImageWorkspace
    ) -> [[Float]]

    /// Floating-point operations of the matrix products behind one embedding, and behind one gradient
    /// of it; two for each multiply-add.
    var forwardFLOPs: Int { get }
    var gradientFLOPs: Int { get }
}

/// What a forward leaves for the way back: its values, and which run of its workspace they are of.
public struct ImageTape: Sendable {
    public let output: TowerOutput
    /// One an image: [embeddingWidth], or [T, W].
    public let values: [[Float]]
    /// Counts the workspace's runs, so that a tape whose memory was used again is noticed.
    package let run: Int

    package init(output: TowerOutput, values: [[Float]], run: Int) {
        self.output = output
        self.values = values
        self.run = run
    }
}

/// The memory of an image tower.
public protocol ImageWorkspace: TowerWorkspace {
    /// Whether gradients recompute activations layer by layer, since keeping them all would have
    /// taken more than the budget.
    var recomputesActivations: Bool { get }
    /// Allocates what gradients need on top; `ImageTower.forward` calls it, and it does nothing the
    /// second time.
    func prepareForGradients()
}

extension ImageTower {
    public var embeddingWidth: Int { sizes.embeddingWidth }

    /// Whether ``forward(_:to:workspace:)`` can be asked for.
    public var hasGradients: Bool { options.hasGradients }

    public func makeWorkspace(
        capacity: Int = 1, slots: Int = 1, budget: Int = .max
    ) -> any ImageWorkspace {
        makeWorkspace(capacity: capacity, slots: slots, activationBudget: budget)
    }

    /// The embedding of one image.
    public func embed(
        _ pixels: [Float], workspace: any ImageWorkspace
    ) throws(EncoderError) -> [Float] {
        try embed(images: [pixels], workspace: workspace)[0]
    }

    /// Both halves of the gradients of losses that each need their own image alone.
    ///
    /// - Parameter dEmbedding: gets an image's index in the group and its embedding, returns
    ///   d(loss)/d(embedding) of the same length.
    /// - Returns: for each image the embedding and d(loss)/d(pixels), [3, S, S].
    public func gradients(
        _ images: [[Float]], workspace: any ImageWorkspace,
        dEmbedding: (Int, [Float]) -> [Float]
    ) throws(EncoderError) -> [(embedding: [Float], dPixels: [Float])] {
        let tape = try forward(images, to: .embedding, workspace: workspace)
        let dPixels = pullback(
            tape.values.enumerated().map { dEmbedding($0.offset, $0.element) }, through: tape,
            workspace: workspace)
        return zip(tape.values, dPixels).map { (embedding: $0, dPixels: $1) }
    }

    /// The gradient of one image; see ``gradients(_:workspace:dEmbedding:)``.
    public func gradient(
        _ pixels: [Float], workspace: any ImageWorkspace, dEmbedding: ([Float]) -> [Float]
    ) throws(EncoderError) -> (embedding: [Float], dPixels: [Float]) {
        try gradients([pixels], workspace: workspace) { dEmbedding($1) }[0]
    }
}
