/// What whoever uses a text tower must know of it.
public struct TextTowerSizes: Sendable, Equatable {
    public let vocabularySize: Int
    /// Number of positions, start and end token included.
    public let contextLength: Int
    /// Width of the hidden states.
    public let width: Int
    public let layers: Int
    public let heads: Int
    /// Width of the joint space; `nil` for a tower without a projection.
    public let projection: Int?
    /// What every row of tokens begins with, ends with, and may be filled up with.
    public let startToken: Int32
    public let endToken: Int32
    public let padToken: Int32

    /// Values in an embedding: the projection's width, or the hidden states' without one.
    public var embeddingWidth: Int { projection ?? width }
}

/// What a sampler's conditioning is made of.
public struct TextEncoding: Sendable {
    /// One [tokens, W] for each state that was asked for, in that order, not normalised.
    public let states: [[Float]]
    /// [W]: the last state at the pooled position, after the final norm; `nil` unless asked for.
    public let pooled: [Float]?
    /// [D]: `pooled` through the projection; `pooled` itself without one.
    public let embedding: [Float]?
}

/// Every layer's hidden states, and the last one normalised.
public struct TextStates: Sendable {
    /// The sum of token and position embeddings, then the residual stream after every block:
    /// [layers + 1] states of [tokens, W], none of them normalised.
    public let states: [[Float]]
    /// [tokens, W]: the last of them after the final norm.
    public let normalized: [Float]
}

/// A text tower of any family: rows of tokens to embeddings or to hidden states.
///
/// Immutable: any number of threads may use it at once, each with a workspace of its own. The same
/// tokens always give the same bits, whatever else is in their group or computed beside them.
///
/// A group has up to the workspace's capacity of texts. Every method that takes texts throws
/// `EncoderError.promptTooLong` for more tokens than the tower has positions, `.unsupported` for ids
/// that it does not have, or none.
public protocol TextTower: AnyObject, Sendable {
    var sizes: TextTowerSizes { get }
    /// How the tower was asked for.
    var options: ComputeOptions { get }
    /// Memory that the weights take.
    var bytes: Int { get }
    /// Texts that are worth computing together; 1 where results depend on the number of rows.
    var preferredGroup: Int { get }
    /// Towers of equal kinds may use the same workspaces.
    var workspaceKind: WorkspaceKind { get }

    /// Memory for one thread.
    ///
    /// - Parameters:
    ///   - capacity: texts in the largest group.
    ///   - slots: places of the team whose seats the workspace will be given.
    func makeWorkspace(capacity: Int, slots: Int) -> any TowerWorkspace

    /// The position whose state is the pooled one.
    ///
    /// - Throws: `EncoderError.unsupported` when there is no such token.
    func pooledIndex(_ tokens: [Int32]) throws(EncoderError) -> Int

    /// Embeddings of a group of texts, [embeddingWidth] each, not normalised.
    ///
    /// - Parameter texts: start token … end token, padded or not.
    func embed(
        texts: [[Int32]], workspace: any TowerWorkspace
    ) throws(EncoderError) -> [[Float]]

    /// Some hidden states of a group of rows of tokens, for all their positions.
    ///
    /// - Parameters:
    ///   - texts: rows of tokens, padded by the caller.
    ///   - states: which; 0 is the sum of embeddings, `layers` the stream after the last block.
    ///   - pooledAt: the position of each text's pooled vector (`pooledIndex(_:)` finds the usual
    ///     one); `nil` when none is wanted.
    ///   - hidden: for each text the positions that no position attends to, none of them the first;
    ///     an empty range for none, `nil` for none in any text.
    /// - Throws: also `EncoderError.unsupported` for a tower in int8.
    func encode(
        _ texts: [[Int32]], states: [Int], pooledAt: [Int]?, hiding hidden: [Range<Int>]?,
        workspace: any TowerWorkspace
    ) throws(EncoderError) -> [TextEncoding]

    /// The final norm of states [T, W], as it stands behind the last block.
    func normalized(_ states: [Float]) -> [Float]

    /// Floating-point operations of the matrix products behind one embedding of `tokens` tokens, and
    /// behind their hidden states after every block; two for each multiply-add.
    func forwardFLOPs(tokens: Int) -> Int
    func statesFLOPs(tokens: Int) -> Int
}

extension TextTower {
    public var embeddingWidth: Int { sizes.embeddingWidth }

    public func makeWorkspace(capacity: Int = 1) -> any TowerWorkspace {
        makeWorkspace(capacity: capacity, slots: 1)
    }

    /// The embedding of one text.
    public func embed(
        tokens: [Int32], workspace: any TowerWorkspace
    ) throws(EncoderError) -> [Float] {
        try embed(texts: [tokens], workspace: workspace)[0]
    }

    /// As ``encode(_:states:pooledAt:hiding:workspace:)``, with every position seen.
    public func encode(
        _ texts: [[Int32]], states: [Int], pooledAt: [Int]?, workspace: any TowerWorkspace
    ) throws(EncoderError) -> [TextEncoding] {
        try encode(texts, states: states, pooledAt: pooledAt, hiding: nil, workspace: workspace)
    }

    /// Hidden states of one row of tokens, for all its positions.
    ///
    /// - Parameter tokens: at most as many as the context is long; padding is the caller's, and the
    ///   states at padded positions depend on it.
    public func hiddenStates(
        tokens: [Int32], workspace: any TowerWorkspace
    ) throws(EncoderError) -> TextStates {
        let states = try encode(
            [tokens], states: Array(0...sizes.layers), pooledAt: nil, workspace: workspace)[0]
            .states
        return TextStates(states: states, normalized: normalized(states[sizes.layers]))
    }
}
