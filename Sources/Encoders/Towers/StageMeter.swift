import System

/// A part of a tower's work, for profiles.
public enum Stage: String, Sendable, CaseIterable {
    case preprocess
    case patchEmbedding = "patch embedding"
    case norms
    case projections
    case attention
    case mlp
    case pooling
    case patchEmbeddingBackward = "patch embedding backward"
    case normsBackward = "norms backward"
    case projectionsBackward = "projections backward"
    case attentionBackward = "attention backward"
    case mlpBackward = "MLP backward"
    case preprocessBackward = "preprocess backward"
}

/// Adds up the time that one thread spends in each stage. Belongs to a workspace and its thread.
public final class StageMeter {
    /// Nanoseconds by stage.
    public private(set) var nanoseconds: [Stage: UInt64] = [:]

    public init() {}

    public func removeAll() { nanoseconds.removeAll() }

    fileprivate func add(_ stage: Stage, _ duration: UInt64) {
        nanoseconds[stage, default: 0] += duration
    }
}

extension StageMeter? {
    /// Runs `body` and books its time; without a meter it only runs it.
    public func time<Result, Failure: Error>(
        _ stage: Stage, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        guard let self else { return try body() }
        let start = monotonicNow()
        defer { self.add(stage, monotonicNow() - start) }
        return try body()
    }
}
