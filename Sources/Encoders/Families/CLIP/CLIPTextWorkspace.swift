/// The memory of a CLIP text tower.
public final class CLIPTextWorkspace: TowerWorkspace {
    let configuration: TextConfiguration
    let options: ComputeOptions
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

    public var seat: ComputeSeat {
        get { blocks.seat }
        set { blocks.seat = newValue }
    }

    public var meter: StageMeter? {
        get { blocks.meter }
        set { blocks.meter = newValue }
    }

    public var bytes: Int { blocks.bytes + head.bytes }
}
