/// The memory in which one thread at a time runs a text tower over a group of texts, allocated once.
///
/// Nothing in it carries over from one group to the next.
public final class TextWorkspace {
    let configuration: TextConfiguration
    let options: ComputeOptions
    /// Texts in the largest group.
    public let capacity: Int
    let blocks: TransformerWorkspace
    let head: HeadMemory

    init(_ configuration: TextConfiguration, options: ComputeOptions, capacity: Int, slots: Int) {
        self.configuration = configuration
        self.options = options
        self.capacity = capacity
        blocks = TransformerWorkspace(
            TransformerShape(configuration), precision: options.precision,
            capacity: TransformerWorkspace.GroupCapacity(
                sequences: capacity, rows: capacity * configuration.contextLength, slots: slots))
        head = HeadMemory(
            count: capacity, width: configuration.width,
            embeddingWidth: configuration.embeddingWidth,
            element: options.precision.activations)
    }

    /// The thread's seat while it computes here; helpers of its team then join in.
    public var seat: ComputeSeat {
        get { blocks.seat }
        set { blocks.seat = newValue }
    }

    /// Receives the time of each stage, when set.
    public var meter: StageMeter? {
        get { blocks.meter }
        set { blocks.meter = newValue }
    }

    /// Bytes held now.
    public var bytes: Int { blocks.bytes + head.bytes }
}
