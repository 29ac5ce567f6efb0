/// The memory of a CLIP image tower.
public final class CLIPImageWorkspace: ImageWorkspace {
    let configuration: VisionConfiguration
    let options: ComputeOptions
    public let capacity: Int
    /// The number of the run that it is in, or was in last.
    private(set) var run = 0
    let blocks: TransformerWorkspace
    let head: HeadMemory
    /// [N·(T − 1), 3·P·P] in the element: the images, patch by patch.
    let patches: BlockBuffer
    /// [N·(T − 1), W]
    let projected: RowBuffer
    private let budget: Int
    private var tape: Tape?

    struct Tape {
        /// [N·T, W]: the tokens before the first norm, kept for its backward.
        let embedded: RowBuffer
        /// [2, N·T], of the first norm; and [2, N] of the last.
        let preNorm: RowBuffer
        let postNorm: RowBuffer
        /// [N·(T − 1), W] in the element.
        let factor: BlockBuffer
        /// [N·(T − 1), 3·P·P]
        let dPatches: RowBuffer

        var bytes: Int {
            embedded.bytes + preNorm.bytes + postNorm.bytes + factor.bytes + dPatches.bytes
        }
    }

    init(
        _ configuration: VisionConfiguration, options: ComputeOptions, capacity: Int, slots: Int,
        budget: Int
    ) {
        self.configuration = configuration
        self.options = options
        self.capacity = capacity
        self.budget = budget
        blocks = TransformerWorkspace(
            TransformerShape(configuration), precision: options.precision,
            capacity: Self.groupCapacity(configuration, capacity, slots))
        head = HeadMemory(
            count: capacity, width: configuration.width,
            embeddingWidth: configuration.embeddingWidth,
            element: options.precision.activations)
        let patch = configuration.patchSize
        let rows = capacity * (configuration.tokens - 1)
        patches = BlockBuffer(
            rows: rows, columns: 3 * patch * patch, element: options.precision.activations)
        projected = RowBuffer(rows: rows, columns: configuration.width)
    }

    private static func groupCapacity(
        _ configuration: VisionConfiguration, _ capacity: Int, _ slots: Int
    ) -> TransformerWorkspace.GroupCapacity {
        TransformerWorkspace.GroupCapacity(
            sequences: capacity, rows: capacity * configuration.tokens, slots: slots)
    }

    /// What a tape of an earlier run stands on may be written over from now on.
    func beginRun() { run += 1 }

    public var seat: ComputeSeat {
        get { blocks.seat }
        set { blocks.seat = newValue }
    }

    public var meter: StageMeter? {
        get { blocks.meter }
        set { blocks.meter = newValue }
    }

    public var recomputesActivations: Bool { blocks.recomputes }

    public func prepareForGradients() {
        blocks.prepareForGradients(budget: budget)
        guard tape == nil else { return }
        let tokens = configuration.tokens
        let patch = configuration.patchSize
        tape = Tape(
            embedded: RowBuffer(rows: capacity * tokens, columns: configuration.width),
            preNorm: RowBuffer(rows: 2, columns: capacity * tokens),
            postNorm: RowBuffer(rows: 2, columns: capacity),
            factor: BlockBuffer(
                rows: capacity * (tokens - 1), columns: configuration.width,
                element: options.precision.activations),
            dPatches: RowBuffer(
                rows: capacity * (tokens - 1), columns: 3 * patch * patch))
    }

    var gradientTape: Tape {
        guard let tape else { preconditionFailure("prepareForGradients() was not called") }
        return tape
    }

    /// Bytes that gradients of a group of `capacity` images add to a workspace.
    ///
    /// - Parameter recomputes: whether activations are recomputed instead of kept.
    public static func gradientBytes(
        _ configuration: VisionConfiguration, precision: Precision, capacity: Int, slots: Int = 1,
        recomputes: Bool
    ) -> Int {
        TransformerWorkspace.gradientBytes(
            TransformerShape(configuration), precision: precision,
            capacity: groupCapacity(configuration, capacity, slots), recomputes: recomputes)
    }

    /// Bytes held now: those of gradients are counted from the first one on.
    public var bytes: Int {
        blocks.bytes + head.bytes + patches.bytes + projected.bytes + (tape?.bytes ?? 0)
    }
}
