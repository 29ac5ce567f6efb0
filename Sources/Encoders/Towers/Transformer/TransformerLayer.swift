/// What a layer's forward leaves behind, and its backward reads.
///
/// R rows in all, Q of them queries (all, or the pooled ones). A forward that nobody will
/// differentiate lets all layers share one set, in which `input`, `middle` and `output` of a layer
/// that answers all rows are the same block.
struct LayerState {
    /// [R, W]: the residual stream on entry.
    let input: Rows
    let attentionNorm: NormStatistics?
    /// [Q, W]
    let q: Block
    /// [R, 2W]: keys, then values.
    let kv: Block
    /// [Q, W]: the residual stream after the attention.
    let middle: Rows
    let mlpNorm: NormStatistics?
    /// [Q, M]: the activation's input; `nil` when no backward will read it.
    let preActivation: Block?
    /// [Q, W]: the residual stream on exit.
    let output: Rows
}

/// Memory that a layer uses while it runs, forward or backward; each has room for all rows.
struct LayerScratch {
    /// [R, W]
    let normed: Block
    /// [Q, W]: the queries' rows of `normed`, when they are few.
    let gathered: Block
    /// [R, W]
    let attended: Block
    /// [R, M]
    let hidden: Block
    let quantized: QuantizedBuffer?
    let attention: AttentionScratch
    let gradients: LayerGradientScratch?
    let seat: ComputeSeat

    /// A block as a product's left factor.
    func operand(_ block: Block, for linear: Linear) -> Operand {
        guard linear.element == .s8, let quantized else { return Operand(block) }
        return quantized.quantize(block, seat: seat)
    }
}

/// What a layer's backward needs on top.
struct LayerGradientScratch {
    /// [R, W] in the element: a gradient as a product's left factor.
    let factor: Block
    /// [R, W]: the gradient of a norm's output.
    let dNormed: Rows
    /// [Q, W]: the same from queries alone, when they are few.
    let dGathered: Rows
    /// [R, W] and [R, 2W] in the element.
    let dq: Block
    let dkv: Block
}

/// Which rows of a group a layer answers.
struct LayerRows {
    let sequences: Sequences
    /// Rows in all.
    let count: Int
    /// The rows that are answered, in order; `nil` for all.
    let queries: [Int]?

    var queryCount: Int { queries?.count ?? count }
}

/// A pre-norm transformer block: x + attention(norm(x)), then x + MLP(norm(x)).
///
/// A pooled output needs one row a sequence of the last block, so the block can compute its queries,
/// output projection and MLP for some rows; keys and values are always those of all rows.
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

    /// - Parameter answersFew: whether the block will only answer pooled rows. In int8 the products
    ///   of those alone are then bfloat16: so few rows take no time worth saving.
    init(
        _ weights: LayerWeights, shape: TransformerShape, options: ComputeOptions,
        answersFew: Bool = false
    ) {
        let width = shape.width
        self.width = width
        let precision = options.precision
        let ofQueries = answersFew ? precision.activations : precision.weights
        func linear(
            _ weight: [Float], _ bias: [Float], _ inputs: Int, _ outputs: Int, from first: Int = 0,
            _ element: Element
        ) -> Linear {
            Linear(
                weight: weight, bias: bias, inputs: inputs, outputs: outputs, firstOutput: first,
                element: element, backend: options.backend,
                gradients: precision == .int8 ? .off : options.gradients)
        }
        attentionNorm = LayerNorm(
            gain: weights.attentionNormWeight, bias: weights.attentionNormBias, eps: shape.eps)
        query = linear(weights.qkvWeight, weights.qkvBias, width, width, ofQueries)
        keyValue = linear(
            weights.qkvWeight, weights.qkvBias, width, 2 * width, from: width, precision.weights)
        attention = Attention(width: width, heads: shape.heads, isCausal: shape.isCausal)
        out = linear(weights.outWeight, weights.outBias, width, width, ofQueries)
        mlpNorm = LayerNorm(
            gain: weights.mlpNormWeight, bias: weights.mlpNormBias, eps: shape.eps)
        fc1 = linear(weights.fc1Weight, weights.fc1Bias, width, shape.mlpWidth, ofQueries)
        fc2 = linear(weights.fc2Weight, weights.fc2Bias, shape.mlpWidth, width, ofQueries)
        activation = shape.activation
    }

    /// Memory that the weights take.
    var bytes: Int {
        query.bytes + keyValue.bytes + out.bytes + fc1.bytes + fc2.bytes + 16 * width
    }

    /// How much of it is held for gradients alone.
    var gradientBytes: Int {
        [query, keyValue, out, fc1, fc2].reduce(0) { $0 + $1.gradientBytes }
    }

    /// Computes `state.output`.
    func forward(_ state: LayerState, rows: LayerRows, scratch: LayerScratch, meter: StageMeter?) {
        let seat = scratch.seat
        let normed = scratch.normed.rows(0..<rows.count)
        meter.time(.norms) {
            attentionNorm.forward(
                state.input, into: normed, keeping: state.attentionNorm, seat: seat)
        }
        let attended = scratch.attended.rows(0..<rows.queryCount)
        meter.time(.projections) {
            let factor = scratch.operand(normed, for: keyValue)
            keyValue.forward(factor, into: state.kv, seat: seat)
            if let queries = rows.queries {
                let gathered = scratch.gathered.rows(0..<queries.count)
                for (index, row) in queries.enumerated() {
                    gathered.copyRow(index, from: normed, row: row)
                    state.middle.copyRow(index, from: state.input, row: row)
                }
                query.forward(scratch.operand(gathered, for: query), into: state.q, seat: seat)
            } else {
                // A block that is held for few rows answers no others.
                precondition(query.element == keyValue.element, "a block that answers pooled rows")
                query.forward(factor, into: state.q, seat: seat)
            }
        }
        meter.time(.attention) {
            attention.forward(
                q: state.q, kv: state.kv, sequences: rows.sequences, into: attended,
                scratch: scratch.attention, seat: seat)
        }
        meter.time(.projections) {
            out.forward(
                scratch.operand(attended, for: out), into: Block(state.middle),
                .adding(rows.queries == nil ? state.input : state.middle), seat: seat)
        }
        let normedQueries = scratch.normed.rows(0..<rows.queryCount)
        meter.time(.norms) {
            mlpNorm.forward(state.middle, into: normedQueries, keeping: state.mlpNorm, seat: seat)
        }
        meter.time(.mlp) {
            let hidden = scratch.hidden.rows(0..<rows.queryCount)
            fc1.forward(
                scratch.operand(normedQueries, for: fc1), into: hidden,
                .activating(activation, keeping: state.preActivation), seat: seat)
            fc2.forward(
                scratch.operand(hidden, for: fc2), into: Block(state.output),
                .adding(state.middle), seat: seat)
        }
    }

    /// The gradient of the input from that of the output.
    ///
    /// - Parameters:
    ///   - dOutput: [Q, W], overwritten.
    ///   - dInput: [R, W]; the same block as `dOutput` when all rows are answered.
    ///
    /// Reads the forward's input, statistics, q, kv, middle and activation input.
    func backward(
        _ dOutput: Rows, into dInput: Rows, state: LayerState, rows: LayerRows,
        scratch: LayerScratch, meter: StageMeter?
    ) {
        guard let attentionStatistics = state.attentionNorm, let mlpStatistics = state.mlpNorm,
            let preActivation = state.preActivation, let memory = scratch.gradients
        else { preconditionFailure("a backward without the forward's state") }
        let seat = scratch.seat
        let count = rows.queryCount
        let factor = memory.factor.rows(0..<count)
        let dNormedQueries = memory.dNormed.rows(0..<count)
        meter.time(.mlpBackward) {
            let dHidden = scratch.hidden.rows(0..<count)
            fc2.inputGradient(
                self.factor(dOutput, factor), into: dHidden,
                .slope(activation, of: preActivation), seat: seat)
            fc1.inputGradient(Operand(dHidden), into: Block(dNormedQueries), seat: seat)
        }
        meter.time(.normsBackward) {
            mlpNorm.backward(
                dNormedQueries, x: state.middle, statistics: mlpStatistics, into: dOutput,
                accumulate: true, copy: factor.element == .f32 ? nil : factor, seat: seat)
        }
        let dAttended = scratch.attended.rows(0..<count)
        let dq = memory.dq.rows(0..<count)
        let dkv = memory.dkv.rows(0..<rows.count)
        meter.time(.projectionsBackward) {
            out.inputGradient(
                Operand(factor.element == .f32 ? Block(dOutput) : factor), into: dAttended,
                seat: seat)
        }
        meter.time(.attentionBackward) {
            attention.backward(
                dAttended, q: state.q, kv: state.kv, sequences: rows.sequences, dq: dq, dkv: dkv,
                scratch: scratch.attention, seat: seat)
        }
        let dNormed = memory.dNormed.rows(0..<rows.count)
        meter.time(.projectionsBackward) {
            keyValue.inputGradient(Operand(dkv), into: Block(dNormed), seat: seat)
            if let queries = rows.queries {
                let dGathered = memory.dGathered.rows(0..<count)
                query.inputGradient(Operand(dq), into: Block(dGathered), seat: seat)
                dInput.fill(0)
                for (index, row) in queries.enumerated() {
                    dNormed.addRow(row, from: dGathered, row: index)
                    dInput.copyRow(row, from: dOutput, row: index)
                }
            } else {
                query.inputGradient(
                    Operand(dq), into: Block(dNormed), .adding(dNormed), seat: seat)
            }
        }
        meter.time(.normsBackward) {
            attentionNorm.backward(
                dNormed, x: state.input, statistics: attentionStatistics, into: dInput,
                accumulate: true,
                copy: memory.factor.element == .f32 ? nil : memory.factor.rows(0..<rows.count),
                seat: seat)
        }
    }

    /// A gradient as a left factor: itself in fp32, else the copy that the last norm's backward (or
    /// the caller) left in `copy`.
    private func factor(_ d: Rows, _ copy: Block) -> Operand {
        Operand(copy.element == .f32 ? Block(d) : copy)
    }
}
