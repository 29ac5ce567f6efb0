public import Encoders
public import Prompts

/// What a family of samplers is conditioned on: which text encoders, which of their layers, and how
/// the pieces are put together. A new family is an entry of the table (`ConditioningRecipe+Table`).
public struct ConditioningRecipe: Sendable, Equatable {
    /// The wire's name.
    public let name: String
    /// Whose expectations these are, for people.
    public let title: String
    /// In the order in which their hidden states are joined, feature after feature.
    public let encoders: [EncoderRecipe]
    /// Whether the sampler attends to hidden states at all.
    public let hasHiddenStates: Bool
    /// Joined hidden states are filled up with zeros on features to this width.
    public let hiddenWidth: Int?
    /// Numbers that go with each prompt.
    public let timeIDs: TimeIDKind?
    /// What stands for a negative prompt that was not given.
    public let absentNegative: NegativePolicy
    /// Whether A1111 puts zeros in the place of an empty negative prompt
    /// (`modules/sd_models_xl.py`, `force_zero_negative_prompt`).
    public let zeroesEmptyNegativeInA1111: Bool

    /// What stands for a negative prompt that was not given, in a dialect: in A1111 it is an empty one.
    public func absentNegative(in syntax: PromptSyntax) -> NegativePolicy {
        syntax == .a1111 && zeroesEmptyNegativeInA1111 ? .zeros : absentNegative
    }

    /// Whether a pooled vector is part of it.
    public var hasPooled: Bool { encoders.contains { $0.pooled != nil } }
}

/// One text encoder's part in a recipe.
public struct EncoderRecipe: Sendable, Equatable {
    /// The roles that a checkpoint's tower may have to serve here, the best first.
    public let roles: [EncoderRole]
    public let layer: HiddenLayer
    /// Whether the hidden states go through the tower's final norm.
    public let normalizesHidden: Bool
    /// What fills a row behind its end token. A pipeline's own tokenizer may say otherwise.
    public let padding: PaddingToken
    /// What becomes of the end token's state; `nil` when nothing pooled is wanted.
    public let pooled: PooledKind?
}

/// Which block's output are the hidden states, before any clip skip.
public enum HiddenLayer: Sendable, Equatable {
    case last
    /// The last but one.
    case penultimate
    /// The last but one of the tower as it was trained. diffusers' pipelines store the tower without
    /// its last block, so there it is the last (`pipelines/stable_diffusion`, whose conversion script
    /// leaves block 23 out).
    case penultimateAsTrained
}

/// A padding token.
public enum PaddingToken: Sendable, Equatable {
    /// The tokenizer's end token.
    case end
    case id(Int32)
}

/// A pooled vector, made of the last block's state at the end token after the final norm.
public enum PooledKind: Sendable, Equatable {
    /// As it is.
    case normalized
    /// Through the text projection.
    case projected
}

/// What stands for a negative prompt that was not given, by its wire name.
public enum NegativePolicy: String, Sendable, CaseIterable {
    /// Zeros in place of hidden states and pooled vector.
    case zeros
    /// The encoding of the empty prompt.
    case empty
}

/// Which numbers go into `time_ids`.
public enum TimeIDKind: Sendable, Equatable {
    /// Original height and width, crop top and left, target height and width.
    case sizes
    /// Original height and width, crop top and left, aesthetic score.
    case aesthetic
}
