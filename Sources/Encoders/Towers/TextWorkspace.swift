/// The memory in which one thread runs a text tower, allocated once.
///
/// Belongs to the thread that made it. Nothing in it carries over from one text to the next.
public final class TextWorkspace {
    let configuration: TextConfiguration
    let blocks: TransformerWorkspace
    /// [1, W]
    let pooled: RowBuffer
    /// [1, D]
    let embedding: RowBuffer

    init(_ configuration: TextConfiguration) {
        self.configuration = configuration
        blocks = TransformerWorkspace(TransformerShape(configuration))
        pooled = RowBuffer(rows: 1, columns: configuration.width)
        embedding = RowBuffer(rows: 1, columns: configuration.embeddingWidth)
    }

    /// Bytes that a workspace holds: 40·C·W for the usual MLP of four times the width, and a little.
    public static func bytes(_ configuration: TextConfiguration) -> Int {
        TransformerWorkspace.bytes(TransformerShape(configuration), gradients: false)
            + (configuration.width + configuration.embeddingWidth) * MemoryLayout<Float>.stride
    }

    /// Bytes held now.
    public var bytes: Int { blocks.bytes + pooled.bytes + embedding.bytes }
}
