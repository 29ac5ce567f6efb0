/// What a layer's forward leaves behind, and its backward reads.
///
/// A forward that nobody will differentiate lets all layers share one set, in which `input`, `middle`
/// and `output` are the same block.
struct LayerState {
    /// [T, W]: the residual stream on entry.
    let input: Rows
    let attentionNorm: NormStatistics?
    /// [T, 3W]: queries, keys, values.
    let qkv: Rows
    /// [T, W]: the residual stream after the attention.
    let middle: Rows
    let mlpNorm: NormStatistics?
    /// [T, M]: the activation's input; `nil` when no backward will read it.
    let preActivation: Rows?
    /// [T, W]: the residual stream on exit.
    let output: Rows
}

/// Memory that a layer uses while it runs, forward or backward.
struct LayerScratch {
    /// [T, W]
    let normed: Rows
    /// [T, W]
    let attended: Rows
    /// [T, M]
    let hidden: Rows
    /// [T, 3W]; only the backward's.
    let dQKV: Rows?
    let attention: Attention.Scratch
}

/// A pre-norm transformer block: x + attention(norm(x)), then x + MLP(norm(x)).
///
/// A pooled output needs one row of the last block, so the block computes its queries, output
/// projection and MLP for a range of rows; keys and values are always those of all rows.
struct TransformerLayer: Sendable {
    private let attentionNorm: LayerNorm
    private let query: Linear
    private let keyValue: Linear
    private let attention: Attention
    private let out: Linear
    private let mlpNorm: LayerNorm
    private let fc1: Linear
    private let fc2: Linear
    private let activation: Activation
    private let width: Int

    init(_ weights: LayerWeights, shape: TransformerShape) {
        let width = shape.width
        self.width = width
        attentionNorm = LayerNorm(
            gain: weights.attentionNormWeight, bias: weights.attentionNormBias, eps: shape.eps)
        query = Linear(
            weight: weights.qkvWeight, bias: weights.qkvBias, inputs: width, outputs: width)
        keyValue = Linear(
            weight: weights.qkvWeight, bias: weights.qkvBias, inputs: width, outputs: 2 * width,
            firstOutput: width)
        attention = Attention(width: width, heads: shape.heads, isCausal: shape.isCausal)
        out = Linear(
            weight: weights.outWeight, bias: weights.outBias, inputs: width, outputs: width)
        mlpNorm = LayerNorm(
            gain: weights.mlpNormWeight, bias: weights.mlpNormBias, eps: shape.eps)
        fc1 = Linear(
            weight: weights.fc1Weight, bias: weights.fc1Bias, inputs: width,
            outputs: shape.mlpWidth)
        fc2 = Linear(
            weight: weights.fc2Weight, bias: weights.fc2Bias, inputs: shape.mlpWidth,
            outputs: width)
        activation = shape.activation
    }

    /// Computes the rows `queries` of `state.output`.
    func forward(_ state: LayerState, queries: Range<Int>, scratch: LayerScratch) {
        let tokens = state.input.rows
        let normed = scratch.normed.rows(0..<tokens)
        attentionNorm.forward(state.input, into: normed, keeping: state.attentionNorm)
        query.forward(
            normed.rows(queries), into: state.qkv.rows(queries).columns(0..<width))
        keyValue.forward(normed, into: state.qkv.columns(width..<3 * width))

        let attended = scratch.attended.rows(0..<queries.count)
        attention.forward(state.qkv, queries: queries, into: attended, scratch: scratch.attention)
        let middle = state.middle.rows(queries)
        out.forward(attended, into: middle, .adding(state.input.rows(queries)))

        let normedQueries = scratch.normed.rows(0..<queries.count)
        mlpNorm.forward(middle, into: normedQueries, keeping: state.mlpNorm)
        let hidden = scratch.hidden.rows(0..<queries.count)
        fc1.forward(
            normedQueries, into: hidden,
            .activating(activation, keeping: state.preActivation?.rows(0..<queries.count)))
        fc2.forward(hidden, into: state.output.rows(queries), .adding(middle))
    }

    /// Turns `d`, the gradient of the output, into the gradient of the input, in place.
    ///
    /// Rows outside `queries` must hold zeros on entry: the output does not depend on them. Reads
    /// the forward's input, statistics, qkv, middle and activation input.
    func backward(_ d: Rows, state: LayerState, queries: Range<Int>, scratch: LayerScratch) {
        guard let attentionStatistics = state.attentionNorm, let mlpStatistics = state.mlpNorm,
            let preActivation = state.preActivation, let dQKVMemory = scratch.dQKV
        else { preconditionFailure("a backward without the forward's state") }
        let tokens = state.input.rows
        let dQueries = d.rows(queries)

        let dHidden = scratch.hidden.rows(0..<queries.count)
        fc2.inputGradient(dQueries, into: dHidden)
        activation.backward(dHidden, x: preActivation.rows(0..<queries.count), into: dHidden)
        let dNormedQueries = scratch.normed.rows(0..<queries.count)
        fc1.inputGradient(dHidden, into: dNormedQueries)
        mlpNorm.backward(
            dNormedQueries, x: state.middle.rows(queries), statistics: mlpStatistics,
            into: dQueries, accumulate: true)

        let dAttended = scratch.attended.rows(0..<queries.count)
        out.inputGradient(dQueries, into: dAttended)
        let dQKV = dQKVMemory.rows(0..<tokens)
        attention.backward(
            dAttended, qkv: state.qkv, queries: queries, into: dQKV, scratch: scratch.attention)
        let dNormed = scratch.normed.rows(0..<tokens)
        keyValue.inputGradient(dQKV.columns(width..<3 * width), into: dNormed)
        query.inputGradient(
            dQKV.rows(queries).columns(0..<width), into: dNormed.rows(queries), accumulate: true)
        attentionNorm.backward(
            dNormed, x: state.input, statistics: attentionStatistics, into: d, accumulate: true)
    }
}
