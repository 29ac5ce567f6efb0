/// Scores of images against prompts.
public struct Scoring: Sendable {
    public let metric: Metric
    /// The model's exp(logit_scale).
    public let logitScale: Float

    public init(metric: Metric, logitScale: Float) {
        self.metric = metric
        self.logitScale = logitScale
    }

    /// One score a prompt for one image.
    ///
    /// - Parameters:
    ///   - image: embedding [D], of any length.
    ///   - prompts: embeddings [P][D], of any length.
    public func scores(image: [Float], prompts: [[Float]]) -> [Float] {
        prompts.map { score(image: image, prompt: $0) }
    }

    public func score(image: [Float], prompt: [Float]) -> Float {
        metric.score(cosine: Embedding.cosine(image, prompt), logitScale: logitScale)
    }
}

/// One image's place in a ranking.
public struct RankedItem: Equatable, Sendable {
    /// The image's number in the request, from 0.
    public let index: Int
    public let score: Float

    public init(index: Int, score: Float) {
        self.index = index
        self.score = score
    }
}

public enum Ranking {
    /// The items with the best scores first, ties by index; items without a score are left out, and so
    /// are scores that are no numbers, which have no place in an order.
    ///
    /// - Parameters:
    ///   - scores: one score an item; `nil` for an item that failed.
    ///   - limit: how many to return; `nil` for all.
    public static func best(_ scores: [Float?], limit: Int? = nil) -> [RankedItem] {
        let ranked = scores.enumerated()
            .compactMap { index, score in
                score.flatMap { $0.isNaN ? nil : RankedItem(index: index, score: $0) }
            }
            .sorted { ($1.score, $0.index) < ($0.score, $1.index) }
        return limit.map { Array(ranked.prefix($0)) } ?? ranked
    }
}
