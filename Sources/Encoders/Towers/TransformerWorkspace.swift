/// Memory for one run through a stack of blocks, allocated once.
///
/// Not thread-safe, and deliberately not `Sendable`: the thread that makes a workspace is the one
/// that computes in it.
final class TransformerWorkspace {
    private let shape: TransformerShape
    private let stream: RowBuffer
    private let qkv: RowBuffer
    private let normed: RowBuffer
    private let attended: RowBuffer
    private let hidden: RowBuffer
    private let scores: RowBuffer
    private var tape: Tape?

    /// What the backward needs beyond the forward: every layer's state, and gradients.
    private struct Tape {
        /// [T, W] each: the stream before the first layer and after every layer.
        let streams: [RowBuffer]
        let layers: [LayerTape]
        let d: RowBuffer
        let dQKV: RowBuffer
    }

    private struct LayerTape {
        let qkv: RowBuffer
        let middle: RowBuffer
        let preActivation: RowBuffer
        /// [4, T]
        let statistics: RowBuffer
    }

    init(_ shape: TransformerShape) {
        self.shape = shape
        let tokens = shape.tokens
        stream = RowBuffer(rows: tokens, columns: shape.width)
        qkv = RowBuffer(rows: tokens, columns: 3 * shape.width)
        normed = RowBuffer(rows: tokens, columns: shape.width)
        attended = RowBuffer(rows: tokens, columns: shape.width)
        hidden = RowBuffer(rows: tokens, columns: shape.mlpWidth)
        scores = RowBuffer(rows: 2, columns: Attention.Scratch.columns(tokens: tokens))
    }

    /// Bytes of a workspace: with T tokens, width W, MLP width M and L layers, a forward takes
    /// 4·(6·T·W + T·M) and the scores of one piece of attention; gradients add
    /// 4·T·((5·L + 5)·W + L·M + 4·L).
    static func bytes(_ shape: TransformerShape, gradients: Bool) -> Int {
        let tokens = shape.tokens
        let width = shape.width
        var floats = tokens * (6 * width + shape.mlpWidth)
        floats += 2 * Attention.Scratch.columns(tokens: tokens)
        if gradients {
            floats += tokens * (width * (shape.layers + 1) + 4 * width)
            floats += shape.layers * tokens * (4 * width + shape.mlpWidth + 4)
        }
        return floats * MemoryLayout<Float>.stride
    }

    /// Bytes held now.
    var bytes: Int {
        var total = stream.bytes + qkv.bytes + normed.bytes + attended.bytes + hidden.bytes
        total += scores.bytes
        guard let tape else { return total }
        total += tape.d.bytes + tape.dQKV.bytes
        for stream in tape.streams { total += stream.bytes }
        for layer in tape.layers {
            total += layer.qkv.bytes + layer.middle.bytes + layer.preActivation.bytes
            total += layer.statistics.bytes
        }
        return total
    }

    /// Allocates what the backward needs; does nothing the second time.
    func prepareForGradients() {
        guard tape == nil else { return }
        let tokens = shape.tokens
        let width = shape.width
        tape = Tape(
            streams: (0...shape.layers).map { _ in RowBuffer(rows: tokens, columns: width) },
            layers: (0..<shape.layers).map { _ in
                LayerTape(
                    qkv: RowBuffer(rows: tokens, columns: 3 * width),
                    middle: RowBuffer(rows: tokens, columns: width),
                    preActivation: RowBuffer(rows: tokens, columns: shape.mlpWidth),
                    statistics: RowBuffer(rows: 4, columns: tokens))
            },
            d: RowBuffer(rows: tokens, columns: width),
            dQKV: RowBuffer(rows: tokens, columns: 3 * width))
    }

    /// The residual stream of a forward that keeps nothing: input and output of every layer.
    func stream(tokens: Int) -> Rows { stream.view.rows(0..<tokens) }

    /// The state of any layer in such a forward.
    func sharedState(tokens: Int) -> LayerState {
        let stream = stream(tokens: tokens)
        return LayerState(
            input: stream, attentionNorm: nil, qkv: qkv.view.rows(0..<tokens), middle: stream,
            mlpNorm: nil, preActivation: nil, output: stream)
    }

    /// [T, W]: the stream before the first layer (0) or after layer `index` − 1, in a forward that
    /// keeps its state.
    func keptStream(_ index: Int, tokens: Int) -> Rows {
        requireTape().streams[index].view.rows(0..<tokens)
    }

    /// The state of one layer, kept for the backward.
    func keptState(layer: Int, tokens: Int) -> LayerState {
        let tape = requireTape()
        let own = tape.layers[layer]
        let statistics = own.statistics.view
        return LayerState(
            input: tape.streams[layer].view.rows(0..<tokens),
            attentionNorm: NormStatistics(statistics.rows(0..<2)),
            qkv: own.qkv.view.rows(0..<tokens),
            middle: own.middle.view.rows(0..<tokens),
            mlpNorm: NormStatistics(statistics.rows(2..<4)),
            preActivation: own.preActivation.view,
            output: tape.streams[layer + 1].view.rows(0..<tokens))
    }

    /// [T, W]: the gradient that runs down the residual stream.
    func streamGradient(tokens: Int) -> Rows { requireTape().d.view.rows(0..<tokens) }

    var scratch: LayerScratch {
        LayerScratch(
            normed: normed.view, attended: attended.view, hidden: hidden.view,
            dQKV: tape?.dQKV.view, attention: Attention.Scratch(scores.view))
    }

    private func requireTape() -> Tape {
        guard let tape else { preconditionFailure("prepareForGradients() was not called") }
        return tape
    }
}
