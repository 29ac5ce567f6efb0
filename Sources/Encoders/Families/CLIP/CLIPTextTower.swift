internal import CKernels
import System

/// CLIP's text tower: a causal transformer; the end token's last state, projected, is the text's
/// embedding.
public final class CLIPTextTower: TextTower {
    public let configuration: TextConfiguration
    /// [V, W]
    private let tokenEmbedding: [Float]
    /// [C, W]
    private let positionEmbedding: [Float]
    private let layers: [TransformerLayer]
    private let head: TowerHead
    /// How the tower was asked for; text has no gradients. In int8 it computes in bf16, yet serves
    /// scores alone, as the image tower beside it does.
    public let options: ComputeOptions
    /// How the weights are held.
    private let heldOptions: ComputeOptions

    /// - Throws: `EncoderError.tensor` when an array does not have the configuration's size,
    ///   `.configuration` when the sizes themselves cannot be.
    public init(
        configuration: TextConfiguration, weights: TextWeights,
        options: ComputeOptions = ComputeOptions()
    ) throws(EncoderError) {
        try options.check()
        let check = WeightCheck(tower: "text tower")
        let shape = TransformerShape(configuration)
        try check.check(shape)
        let width = configuration.width
        try check.check(
            "token embedding", weights.tokenEmbedding, [configuration.vocabularySize, width])
        try check.check(
            "position embedding", weights.positionEmbedding, [configuration.contextLength, width])
        try check.check("final norm weight", weights.finalNormWeight, [width])
        try check.check("final norm bias", weights.finalNormBias, [width])
        try check.check(weights.layers, shape)
        if let outputs = configuration.projection {
            try check.check("projection", weights.projection ?? [], [outputs, width])
        }

        self.configuration = configuration
        var options = options
        options.gradients = .off
        self.options = options
        options.precision = options.precision.ofText
        heldOptions = options
        tokenEmbedding = weights.tokenEmbedding
        positionEmbedding = weights.positionEmbedding
        layers = concurrentMap(weights.layers.count) { [options] in
            TransformerLayer(weights.layers[$0], shape: shape, options: options)
        }
        head = TowerHead(
            norm: LayerNorm(
                gain: weights.finalNormWeight, bias: weights.finalNormBias, eps: configuration.eps),
            projection: configuration.projection == nil ? nil : weights.projection, width: width,
            outputs: configuration.projection, options: options)
    }

    public var sizes: TextTowerSizes { configuration.sizes }

    public var bytes: Int {
        head.bytes + layers.reduce(0) { $0 + $1.bytes }
            + (tokenEmbedding.count + positionEmbedding.count) * 4
    }

    /// 1 on OpenBLAS, whose results depend on the number of rows.
    public var preferredGroup: Int { options.backend == .openblas ? 1 : 8 }

    public var workspaceKind: WorkspaceKind {
        WorkspaceKind(Kind(configuration: configuration, options: heldOptions))
    }

    private struct Kind: Hashable {
        let configuration: TextConfiguration
        let options: ComputeOptions
    }

    public func makeWorkspace(capacity: Int, slots: Int) -> any TowerWorkspace {
        CLIPTextWorkspace(
            configuration, options: heldOptions,
            capacity: options.backend == .openblas ? 1 : max(capacity, 1), slots: slots)
    }

    public func forwardFLOPs(tokens: Int) -> Int { configuration.forwardFLOPs(tokens: tokens) }
    public func statesFLOPs(tokens: Int) -> Int { configuration.statesFLOPs(tokens: tokens) }

    /// The position whose state is the pooled one: the first end token, or the highest id when the
    /// configuration says so (the first of equals).
    ///
    /// - Throws: `EncoderError.unsupported` when there is no such token.
    public func pooledIndex(_ tokens: [Int32]) throws(EncoderError) -> Int {
        let index =
            switch configuration.pooling {
            case .firstEnd: tokens.firstIndex(of: configuration.endToken)
            case .highestToken:
                // `max(by:)` would return the last of equals.
                tokens.indices.min { (tokens[$1], $0) < (tokens[$0], $1) }
            }
        guard let index else {
            throw .unsupported(
                what: "tokens", expected: "an end token (\(configuration.endToken))",
                actual: "\(tokens.count) tokens without one")
        }
        return index
    }

    /// Tokens after the pooled one cannot reach it, so they are not computed; of the last block only
    /// the pooled positions are; and what all texts of a group begin with is computed once.
    public func embed(
        texts: [[Int32]], workspace: any TowerWorkspace
    ) throws(EncoderError) -> [[Float]] {
        let workspace = try begin(texts, workspace)
        guard !texts.isEmpty else { return [] }
        var used: [ArraySlice<Int32>] = []
        used.reserveCapacity(texts.count)
        for tokens in texts { used.append(tokens[0...(try pooledIndex(tokens))]) }
        let blocks = workspace.blocks
        let (all, pooled) = rows(used, blocks)
        let stream = blocks.stream(rows: all.count)
        let prefix = sharedPrefix(used)
        embedTokens(used[0].prefix(prefix), from: 0, into: stream)
        var row = prefix
        for tokens in used {
            let own = tokens.dropFirst(prefix)
            embedTokens(own, from: prefix, into: stream.rows(row..<row + own.count))
            row += own.count
        }
        for (index, layer) in layers.enumerated() {
            let own = index == layers.count - 1 ? pooled : all
            layer.forward(
                blocks.sharedState(own), rows: own, scratch: blocks.scratch,
                meter: workspace.meter)
        }
        return workspace.meter.time(.pooling) {
            head.forward(
                blocks.pooled(count: used.count), workspace.head, keeping: nil,
                seat: workspace.seat)
        }
    }

    /// Blocks behind the last state that is asked for run only when pooled vectors are, and the last of
    /// them for the pooled positions alone.
    public func encode(
        _ texts: [[Int32]], states wanted: [Int], pooledAt: [Int]?,
        hiding hidden: [Range<Int>]?, workspace: any TowerWorkspace
    ) throws(EncoderError) -> [TextEncoding] {
        let workspace = try begin(texts, workspace)
        try options.precision.checkHiddenStates()
        precondition(wanted.allSatisfy { (0...layers.count).contains($0) }, "no such state")
        guard !texts.isEmpty else { return [] }
        let blocks = workspace.blocks
        let spans = spans(texts.map(\.count))
        precondition(hidden.map { $0.count == texts.count } ?? true, "one range a text")
        blocks.sequences.removeAll()
        for (index, span) in spans.enumerated() {
            blocks.sequences.append(text: span, hiding: hidden?[index] ?? 0..<0)
        }
        let count = spans.last?.upperBound ?? 0
        let all = LayerRows(sequences: blocks.sequences, count: count, queries: nil)
        var pooledRows: [Int] = []
        pooledRows.reserveCapacity(texts.count)
        blocks.pooledSequences.removeAll()
        let isPooled = pooledAt != nil
        if let pooledAt {
            precondition(pooledAt.count == texts.count, "one position a text")
            for (index, position) in pooledAt.enumerated() {
                precondition(texts[index].indices.contains(position), "a position of another text")
                pooledRows.append(spans[index].lowerBound + position)
                blocks.pooledSequences.append(
                    query: index, at: position, of: spans[index], hiding: hidden?[index] ?? 0..<0)
            }
        }
        let pooledOnly = LayerRows(
            sequences: blocks.pooledSequences, count: count, queries: pooledRows)
        let stream = blocks.stream(rows: count)
        for (tokens, span) in zip(texts, spans) {
            embedTokens(tokens[...], from: 0, into: stream.rows(span))
        }
        let deepest = wanted.max() ?? 0
        var kept = [Int: [[Float]]](minimumCapacity: wanted.count)
        func keep(_ state: Int) {
            if wanted.contains(state) { kept[state] = spans.map { stream.rows($0).array() } }
        }
        keep(0)
        for (index, layer) in layers.enumerated() where index < deepest || isPooled {
            let isLastOfPooled = index == layers.count - 1 && index >= deepest
            let own = isLastOfPooled ? pooledOnly : all
            layer.forward(
                blocks.sharedState(own), rows: own, scratch: blocks.scratch,
                meter: workspace.meter)
            keep(index + 1)
        }
        var pooledStates: [[Float]] = []
        var embeddings: [[Float]] = []
        if isPooled {
            let states = blocks.pooled(count: texts.count)
            if deepest == layers.count {
                for (index, row) in pooledRows.enumerated() {
                    states.copyRow(index, from: stream, row: row)
                }
            }
            embeddings = head.forward(states, workspace.head, keeping: nil, seat: workspace.seat)
            head.normalize(states, into: states, seat: workspace.seat)
            pooledStates = texts.indices.map { states.rows($0..<$0 + 1).array() }
        }
        return texts.indices.map { text in
            TextEncoding(
                states: wanted.map { kept[$0]?[text] ?? [] },
                pooled: isPooled ? pooledStates[text] : nil,
                embedding: isPooled ? embeddings[text] : nil)
        }
    }

    /// Consecutive ranges of these lengths.
    private func spans(_ lengths: [Int]) -> [Range<Int>] {
        var start = 0
        return lengths.map { length in
            defer { start += length }
            return start..<start + length
        }
    }

    public func normalized(_ states: [Float]) -> [Float] {
        let width = configuration.width
        precondition(states.count % width == 0, "rows of the tower's width")
        var result = states
        result.withUnsafeMutableBufferPointer { buffer in
            guard let start = buffer.baseAddress else { return }
            let rows = Rows(start, rows: buffer.count / width, columns: width)
            head.normalize(rows, into: rows, seat: .alone)
        }
        return result
    }

    /// How many tokens all texts begin with; every text keeps at least one of its own.
    private func sharedPrefix(_ texts: [ArraySlice<Int32>]) -> Int {
        guard texts.count > 1, let first = texts.first else { return 0 }
        let shortest = texts.reduce(first.count) { min($0, $1.count) }
        let length = (0..<shortest - 1).first { position in
            texts.contains { $0[position] != first[position] }
        }
        return length ?? shortest - 1
    }

    /// The rows of a group's blocks: the shared prefix, then every text's own; and the last row of
    /// each text alone for the last block.
    private func rows(
        _ texts: [ArraySlice<Int32>], _ blocks: TransformerWorkspace
    ) -> (all: LayerRows, pooled: LayerRows) {
        let prefix = sharedPrefix(texts)
        blocks.sequences.removeAll()
        blocks.pooledSequences.removeAll()
        if prefix > 0 {
            blocks.sequences.append(queries: 0..<prefix, position: 0, own: 0..<prefix)
        }
        var row = prefix
        var last: [Int] = []
        last.reserveCapacity(texts.count)
        for (index, tokens) in texts.enumerated() {
            let own = row..<row + tokens.count - prefix
            blocks.sequences.append(queries: own, position: prefix, prefix: 0..<prefix, own: own)
            blocks.pooledSequences.append(
                queries: index..<index + 1, position: tokens.count - 1, prefix: 0..<prefix,
                own: own)
            row = own.upperBound
            last.append(row - 1)
        }
        return (
            LayerRows(sequences: blocks.sequences, count: row, queries: nil),
            LayerRows(sequences: blocks.pooledSequences, count: row, queries: last)
        )
    }

    /// Token and position embeddings of tokens that stand from a position on.
    private func embedTokens(_ tokens: ArraySlice<Int32>, from first: Int, into stream: Rows) {
        let width = configuration.width
        tokenEmbedding.withUnsafeBufferPointer { table in
            positionEmbedding.withUnsafeBufferPointer { positions in
                guard let table = table.baseAddress, let positions = positions.baseAddress
                else { return }
                for (row, token) in tokens.enumerated() {
                    gk_add(
                        table + Int(token) * width, positions + (first + row) * width,
                        stream.base + row * stream.stride, width)
                }
            }
        }
    }

    /// This tower's own workspace, for texts that it can take.
    private func begin(
        _ texts: [[Int32]], _ workspace: any TowerWorkspace
    ) throws(EncoderError) -> CLIPTextWorkspace {
        let workspace = own(workspace)
        precondition(texts.count <= workspace.capacity, "more texts than the workspace holds")
        let vocabulary = 0..<Int32(clamping: configuration.vocabularySize)
        for tokens in texts {
            guard tokens.count <= configuration.contextLength else {
                throw .promptTooLong(
                    tokens: tokens.count, limit: configuration.contextLength, excess: "")
            }
            guard !tokens.isEmpty else {
                throw .unsupported(what: "tokens", expected: "one or more", actual: "none")
            }
            if let foreign = tokens.first(where: { !vocabulary.contains($0) }) {
                throw .unsupported(
                    what: "tokens", expected: "ids below \(configuration.vocabularySize)",
                    actual: "\(foreign)")
            }
        }
        return workspace
    }

    private func own(_ workspace: any TowerWorkspace) -> CLIPTextWorkspace {
        guard let own = workspace as? CLIPTextWorkspace, own.configuration == configuration,
            own.options == heldOptions
        else { preconditionFailure("the workspace of another tower") }
        return own
    }
}
