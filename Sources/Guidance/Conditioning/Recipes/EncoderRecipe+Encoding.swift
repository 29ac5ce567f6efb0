public import Encoders

/// What one row of tokens comes to in one encoder.
public struct EncodedRow: Sendable, Equatable {
    /// [T, W]: the recipe's layer, normalised if the recipe says so; empty when it wants none.
    public let hidden: [Float]
    /// The pooled vector; `nil` when the recipe wants none.
    public let pooled: [Float]?

    public init(hidden: [Float], pooled: [Float]?) {
        self.hidden = hidden
        self.pooled = pooled
    }

    /// Memory of the values.
    public var bytes: Int { (hidden.count + (pooled?.count ?? 0)) * MemoryLayout<Float>.stride }
}

extension EncoderRecipe {
    /// The number in `HiddenStates.states` of the layer that the hidden states are: 0 is the sum of
    /// token and position embeddings, `layers` the last block's output.
    ///
    /// Clip skip has diffusers' meaning: k layers before the one that the recipe takes without it.
    ///
    /// - Parameter isTrimmed: whether the checkpoint stores the tower without its last block.
    /// - Throws: `GuidanceError.parameter` for a clip skip below 0 or beyond the first state.
    public func stateIndex(
        layers: Int, isTrimmed: Bool, clipSkip: Int
    ) throws(GuidanceError) -> Int {
        let base =
            switch layer {
            case .last: layers
            case .penultimate: layers - 1
            case .penultimateAsTrained: isTrimmed ? layers : layers - 1
            }
        guard clipSkip >= 0, clipSkip <= base else {
            throw .parameter(
                field: "clip_skip", expected: "0…\(max(base, 0)) for this text encoder",
                actual: "\(clipSkip)")
        }
        return base - clipSkip
    }

    /// The padding token of an encoder's rows.
    public func padToken(_ encoder: TextEncoder) -> Int32 {
        if encoder.usesTokenizerPadding { return encoder.tokenizer.padToken }
        return switch padding {
        case .end: encoder.tokenizer.endToken
        case .id(let id): id
        }
    }

    /// `stateIndex(layers:isTrimmed:clipSkip:)` of an encoder.
    public func stateIndex(
        _ encoder: TextEncoder, clipSkip: Int
    ) throws(GuidanceError) -> Int {
        try stateIndex(
            layers: encoder.sizes.layers, isTrimmed: encoder.isTrimmed, clipSkip: clipSkip)
    }

    /// Runs rows of tokens together.
    ///
    /// - Parameters:
    ///   - rows: up to the workspace's capacity, each as long as the tower has positions.
    ///   - endIndices: the position of each row that is pooled.
    ///   - hidden: the positions of each row that none attends to.
    ///   - wantsHidden: whether hidden states are wanted.
    ///   - state: of `stateIndex`.
    public func encode(
        rows: [[Int32]], endIndices: [Int], hiding hidden: [Range<Int>], state: Int,
        wantsHidden: Bool, encoder: TextEncoder, workspace: any TowerWorkspace
    ) throws(EncoderError) -> [EncodedRow] {
        // Nothing behind the end token can reach it.
        let needed =
            wantsHidden ? rows : zip(rows, endIndices).map { Array($0.prefix($1 + 1)) }
        let encodings = try encoder.tower.encode(
            needed, states: wantsHidden ? [state] : [],
            pooledAt: pooled == nil ? nil : endIndices,
            hiding: zip(needed, hidden).map { $1.clamped(to: 0..<$0.count) },
            workspace: workspace)
        return encodings.map { encoding in
            // The norm is the final one at every layer: a tower stored without its last block must
            // give the same bits as the whole one.
            let hidden = encoding.states.first ?? []
            return EncodedRow(
                hidden: normalizesHidden && wantsHidden ? encoder.tower.normalized(hidden) : hidden,
                pooled: pooled == .projected ? encoding.embedding : encoding.pooled)
        }
    }
}
