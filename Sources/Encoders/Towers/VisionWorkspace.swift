/// The memory in which one thread runs an image tower, allocated once.
///
/// Belongs to the thread that made it. Nothing in it carries over from one image to the next.
public final class VisionWorkspace {
    let configuration: VisionConfiguration
    let blocks: TransformerWorkspace
    /// [T − 1, 3·P·P]: the image, and later its gradient, patch by patch.
    let patches: RowBuffer
    /// [1, W]
    let pooled: RowBuffer
    /// [1, D]
    let embedding: RowBuffer
    private var tape: (embedded: RowBuffer, statistics: RowBuffer)?

    init(_ configuration: VisionConfiguration) {
        self.configuration = configuration
        blocks = TransformerWorkspace(TransformerShape(configuration))
        let patch = configuration.patchSize
        patches = RowBuffer(rows: configuration.tokens - 1, columns: 3 * patch * patch)
        pooled = RowBuffer(rows: 1, columns: configuration.width)
        embedding = RowBuffer(rows: 1, columns: configuration.embeddingWidth)
    }

    /// [T, W]: the tokens before the first norm, kept for its backward.
    var embedded: Rows { requireTape().embedded.view }
    /// [4, T]: of the first norm, then of the last.
    var statistics: Rows { requireTape().statistics.view }

    /// Allocates what gradients need on top (see ``bytes(_:gradients:)``); `VisionTower.gradient`
    /// calls it, and it does nothing the second time.
    public func prepareForGradients() {
        blocks.prepareForGradients()
        guard tape == nil else { return }
        tape = (
            RowBuffer(rows: configuration.tokens, columns: configuration.width),
            RowBuffer(rows: 4, columns: configuration.tokens)
        )
    }

    /// Bytes that a workspace holds.
    ///
    /// Gradients keep each layer's residual stream (twice), queries, keys, values and MLP
    /// activation: 36·T·W bytes a layer for the usual MLP of four times the width. That is 17 MiB
    /// for ViT-B/32 and 220 MiB for ViT-L/14, a thread.
    public static func bytes(_ configuration: VisionConfiguration, gradients: Bool) -> Int {
        let tokens = configuration.tokens
        let patch = configuration.patchSize
        var floats = (tokens - 1) * 3 * patch * patch
        floats += configuration.width + configuration.embeddingWidth
        if gradients { floats += tokens * (configuration.width + 4) }
        return TransformerWorkspace.bytes(TransformerShape(configuration), gradients: gradients)
            + floats * MemoryLayout<Float>.stride
    }

    /// Bytes held now: those of gradients are counted from the first one on.
    public var bytes: Int {
        blocks.bytes + patches.bytes + pooled.bytes + embedding.bytes
            + (tape.map { $0.embedded.bytes + $0.statistics.bytes } ?? 0)
    }

    private func requireTape() -> (embedded: RowBuffer, statistics: RowBuffer) {
        guard let tape else { preconditionFailure("prepareForGradients() was not called") }
        return tape
    }
}
