/// Memory for one run of a group of sequences through a stack of blocks, allocated once.
///
/// Not thread-safe, and deliberately not `Sendable`: one thread at a time computes in it.
final class TransformerWorkspace {
    let shape: TransformerShape
    /// Rows and sequences that there is room for.
    let capacity: GroupCapacity
    private let precision: Precision
    private let stream: RowBuffer
    private let q: BlockBuffer
    private let kv: BlockBuffer
    private let pooledStream: RowBuffer
    private let normed: BlockBuffer
    private let gathered: BlockBuffer
    private let attended: BlockBuffer
    private let hidden: BlockBuffer
    private let quantized: QuantizedBuffer?
    private var attention: AttentionScratch
    /// Of all rows, and of the pooled rows alone; filled by the tower for each group.
    let sequences: Sequences
    let pooledSequences: Sequences
    private var tape: Tape?
    var seat = ComputeSeat.alone
    var meter: StageMeter?

    /// What the backward needs beyond the forward: the layers' states, and gradients.
    private struct Tape {
        /// [R, W] each: the stream before every layer.
        let streams: [RowBuffer]
        /// One a layer; a single one for all when activations are recomputed.
        let layers: [LayerTape]
        let d: RowBuffer
        let dPooled: RowBuffer
        let factor: BlockBuffer
        let dNormed: RowBuffer
        let dGathered: RowBuffer
        let dq: BlockBuffer
        let dkv: BlockBuffer

        var bytes: Int {
            var total = d.bytes + dPooled.bytes + factor.bytes + dNormed.bytes + dGathered.bytes
            total += dq.bytes + dkv.bytes
            for stream in streams { total += stream.bytes }
            for layer in layers { total += layer.bytes }
            return total
        }
    }

    private struct LayerTape {
        let q: BlockBuffer
        let kv: BlockBuffer
        let middle: RowBuffer
        let preActivation: BlockBuffer
        /// [4, R]
        let statistics: RowBuffer

        var bytes: Int {
            q.bytes + kv.bytes + middle.bytes + preActivation.bytes + statistics.bytes
        }
    }

    /// How many sequences, and rows of all of them together, a workspace has room for; and how many
    /// threads may help in it.
    struct GroupCapacity: Equatable {
        var sequences: Int
        var rows: Int
        var slots: Int
    }

    init(_ shape: TransformerShape, precision: Precision, capacity: GroupCapacity) {
        self.shape = shape
        self.capacity = capacity
        self.precision = precision
        let rows = capacity.rows
        let element = precision.activations
        let width = shape.width
        stream = RowBuffer(rows: rows, columns: width)
        q = BlockBuffer(rows: rows, columns: width, element: element)
        kv = BlockBuffer(rows: rows, columns: 2 * width, element: element)
        pooledStream = RowBuffer(rows: capacity.sequences, columns: width)
        normed = BlockBuffer(rows: rows, columns: width, element: element)
        gathered = BlockBuffer(rows: capacity.sequences, columns: width, element: element)
        attended = BlockBuffer(rows: rows, columns: width, element: element)
        hidden = BlockBuffer(rows: rows, columns: shape.mlpWidth, element: element)
        quantized =
            precision == .int8
            ? QuantizedBuffer(rows: rows, columns: max(width, shape.mlpWidth)) : nil
        attention = AttentionScratch(
            slotBytes: Self.scratchBytes(shape, precision, backward: false), slots: capacity.slots)
        // A shared prefix is one more sequence; of texts with hidden positions each row may be one.
        sequences = Sequences(capacity: shape.isCausal ? rows + 1 : capacity.sequences + 1)
        pooledSequences = Sequences(capacity: capacity.sequences)
    }

    private static func scratchBytes(
        _ shape: TransformerShape, _ precision: Precision, backward: Bool
    ) -> Int {
        Attention(width: shape.width, heads: shape.heads, isCausal: shape.isCausal)
            .scratchBytes(
                element: precision.activations, keys: shape.tokens, backward: backward)
    }

    /// Bytes held now.
    var bytes: Int {
        var total = stream.bytes + q.bytes + kv.bytes + pooledStream.bytes + normed.bytes
        total += gathered.bytes + attended.bytes + hidden.bytes + (quantized?.bytes ?? 0)
        return total + attention.bytes + (tape?.bytes ?? 0)
    }

    /// Bytes that gradients add.
    ///
    /// With R rows, width W, MLP width M and L layers, the kept states take R·(8·W + e·(3·W + M)) a
    /// layer (e = 4 in fp32, 2 in bfloat16), or that of a single layer and R·4·W a layer when they are
    /// recomputed; rows are rounded up as `Element.rowStride(columns:)` says.
    static func gradientBytes(
        _ shape: TransformerShape, precision: Precision, capacity: GroupCapacity, recomputes: Bool
    ) -> Int {
        let element = precision.activations
        let (rows, width) = (capacity.rows, shape.width)
        let (wide, narrow) = (
            Element.f32.rowBytes(columns: width), element.rowBytes(columns: width)
        )
        let pair = element.rowBytes(columns: 2 * width)
        let layer = rows * (wide + narrow + pair + element.rowBytes(columns: shape.mlpWidth) + 16)
        let streams = shape.layers * rows * wide
        let scratch = rows * (2 * wide + 2 * narrow + pair) + 2 * capacity.sequences * wide
        let attention =
            capacity.slots * scratchBytes(shape, precision, backward: true)
        return (recomputes ? 1 : shape.layers) * layer + streams + scratch + attention
    }

    /// Whether activations are recomputed in the backward instead of kept.
    private(set) var recomputes = false

    /// Allocates what the backward needs; does nothing the second time.
    ///
    /// - Parameter budget: bytes; when keeping all states takes more, they are recomputed layer by
    ///   layer, which costs one forward more.
    func prepareForGradients(budget: Int) {
        guard tape == nil else { return }
        let rows = capacity.rows
        let width = shape.width
        let element = precision.activations
        recomputes =
            Self.gradientBytes(shape, precision: precision, capacity: capacity, recomputes: false)
            > budget
        tape = Tape(
            streams: (0..<shape.layers).map { _ in RowBuffer(rows: rows, columns: width) },
            layers: (0..<(recomputes ? 1 : shape.layers)).map { _ in
                LayerTape(
                    q: BlockBuffer(rows: rows, columns: width, element: element),
                    kv: BlockBuffer(rows: rows, columns: 2 * width, element: element),
                    middle: RowBuffer(rows: rows, columns: width),
                    preActivation: BlockBuffer(
                        rows: rows, columns: shape.mlpWidth, element: element),
                    statistics: RowBuffer(rows: 4, columns: rows))
            },
            d: RowBuffer(rows: rows, columns: width),
            dPooled: RowBuffer(rows: capacity.sequences, columns: width),
            factor: BlockBuffer(rows: rows, columns: width, element: element),
            dNormed: RowBuffer(rows: rows, columns: width),
            dGathered: RowBuffer(rows: capacity.sequences, columns: width),
            dq: BlockBuffer(rows: rows, columns: width, element: element),
            dkv: BlockBuffer(rows: rows, columns: 2 * width, element: element))
        let backward = Self.scratchBytes(shape, precision, backward: true)
        attention = AttentionScratch(
            slotBytes: max(backward, Self.scratchBytes(shape, precision, backward: false)),
            slots: capacity.slots)
    }

    /// The residual stream of a forward that keeps nothing: input and output of every layer.
    func stream(rows: Int) -> Rows { stream.view.rows(0..<rows) }

    /// [sequences, W]: the last block's output when only pooled rows are answered.
    func pooled(count: Int) -> Rows { pooledStream.view.rows(0..<count) }

    /// The state of any layer in a forward that keeps nothing.
    func sharedState(_ rows: LayerRows) -> LayerState {
        let stream = stream(rows: rows.count)
        let own = rows.queries == nil ? stream : pooled(count: rows.queryCount)
        return LayerState(
            input: stream, attentionNorm: nil, q: q.view.rows(0..<rows.queryCount),
            kv: kv.view.rows(0..<rows.count), middle: own, mlpNorm: nil, preActivation: nil,
            output: own)
    }

    /// [R, W]: the stream before a layer, or after the last, in a forward that keeps its state.
    func keptStream(_ layer: Int, rows: Int) -> Rows {
        let streams = requireTape().streams
        return layer < streams.count ? streams[layer].view.rows(0..<rows) : stream(rows: rows)
    }

    /// The state of one layer, kept for the backward. The last layer's output is the pooled stream, or
    /// when all rows are answered the shared one.
    func keptState(layer: Int, _ rows: LayerRows) -> LayerState {
        let tape = requireTape()
        let own = tape.layers[recomputes ? 0 : layer]
        let statistics = own.statistics.view
        let isLast = layer + 1 == tape.streams.count
        return LayerState(
            input: tape.streams[layer].view.rows(0..<rows.count),
            attentionNorm: NormStatistics(statistics.rows(0..<2)),
            q: own.q.view.rows(0..<rows.queryCount), kv: own.kv.view.rows(0..<rows.count),
            middle: own.middle.view.rows(0..<rows.queryCount),
            mlpNorm: NormStatistics(statistics.rows(2..<4)),
            preActivation: own.preActivation.view.rows(0..<rows.queryCount),
            output: isLast && rows.queries != nil
                ? pooled(count: rows.queryCount) : keptStream(layer + 1, rows: rows.count))
    }

    /// [R, W]: the gradient that runs down the residual stream.
    func streamGradient(rows: Int) -> Rows { requireTape().d.view.rows(0..<rows) }

    /// [sequences, W]: the gradient of the last block's output.
    func pooledGradient(count: Int) -> Rows { requireTape().dPooled.view.rows(0..<count) }

    /// Puts a gradient where the layers' backward expects it as a left factor.
    func setFactor(_ d: Rows) {
        let factor = requireTape().factor.view
        if factor.element == .bf16 { factor.rows(0..<d.rows).narrow(from: d) }
    }

    var scratch: LayerScratch {
        LayerScratch(
            normed: normed.view, gathered: gathered.view, attended: attended.view,
            hidden: hidden.view, quantized: quantized, attention: attention,
            gradients: tape.map {
                LayerGradientScratch(
                    factor: $0.factor.view, dNormed: $0.dNormed.view,
                    dGathered: $0.dGathered.view, dq: $0.dq.view, dkv: $0.dkv.view)
            },
            seat: seat)
    }

    private func requireTape() -> Tape {
        guard let tape else { preconditionFailure("prepareForGradients() was not called") }
        return tape
    }
}
