/// How the scores of several metrics become one order.
///
/// The raw values are the names that the wire uses.
public enum RankCombination: String, CaseIterable, Sendable {
    /// The average of an image's ranks under each metric, 1 for the best, ties by index: metrics of
    /// different scales count alike. The score is its negative.
    case rankMean = "rank_mean"
    /// Σ w·score / Σ|w|, of scores as they are.
    case weighted
    /// Σ w·z / Σ|w| with z the score less the images' mean in units of their standard deviation (of a
    /// population); 0 where all are equal.
    case zscore
}

/// One image's place in an order that several metrics agreed on.
public struct EnsembleRankedItem: Equatable, Sendable {
    /// The image's number in the request, from 0.
    public let index: Int
    /// Greater is better, whatever the combination.
    public let score: Float
    /// [metrics], 1 for the best of those that it is compared with.
    public let ranks: [Int]
    /// [metrics]
    public let scores: [Float]
}

/// Orders images by several scores at once.
public struct EnsembleRanking: Sendable {
    public let combination: RankCombination
    /// One a metric; of any sum but zero.
    public let weights: [Float]

    /// - Parameters:
    ///   - weights: one a metric, or `nil` for equal ones.
    ///   - metrics: how many metrics there are; at least one.
    /// - Throws: `GuidanceError.parameter` for weights of another number, weights whose magnitudes sum
    ///   to less than 10⁻³, or weights beside `rank_mean`.
    public init(
        _ combination: RankCombination, weights: [Float]?, metrics: Int
    ) throws(GuidanceError) {
        self.combination = combination
        guard let weights else {
            self.weights = [Float](repeating: 1, count: metrics)
            return
        }
        if combination == .rankMean {
            throw .parameter(
                field: "metric_weights", expected: "none with rank_mean, which counts ranks",
                actual: "\(weights.count)")
        }
        guard weights.count == metrics else {
            throw .parameter(
                field: "metric_weights", expected: "\(metrics), one a metric",
                actual: "\(weights.count)")
        }
        let sum = weights.reduce(0) { $0 + abs($1) }
        guard weights.allSatisfy(\.isFinite), sum >= 1e-3 else {
            throw .parameter(
                field: "metric_weights", expected: "numbers whose magnitudes sum to 0.001 or more",
                actual: "\(weights)")
        }
        self.weights = weights
    }

    /// The images, best first, ties by index.
    ///
    /// - Parameters:
    ///   - scores: [metrics][images], greater is better; an image of which one is missing or no number
    ///     has no place and is left out.
    ///   - items: which images are compared; `nil` for all.
    public func order(_ scores: [[Float?]], items: [Int]? = nil) -> [EnsembleRankedItem] {
        let candidates = (items ?? Array((scores.first ?? []).indices)).filter { item in
            scores.allSatisfy { $0[item].map { !$0.isNaN } ?? false }
        }
        let values = scores.map { metric in candidates.map { metric[$0] ?? .nan } }
        let ranks = values.map(Self.ranks)
        let combined = combine(values, ranks)
        return candidates.indices.map { place in
            EnsembleRankedItem(
                index: candidates[place], score: combined[place], ranks: ranks.map { $0[place] },
                scores: values.map { $0[place] })
        }.sorted { ($1.score, $0.index) < ($0.score, $1.index) }
    }

    /// Images of each group ordered among themselves, in the order of the groups' first images.
    ///
    /// - Parameter groups: [images], any labels.
    public func orders(
        _ scores: [[Float?]], groups: [Int]
    ) -> [(group: Int, order: [EnsembleRankedItem])] {
        var members: [Int: [Int]] = [:]
        var labels: [Int] = []
        for (item, group) in groups.enumerated() {
            if members[group] == nil { labels.append(group) }
            members[group, default: []].append(item)
        }
        return labels.map { ($0, order(scores, items: members[$0] ?? [])) }
    }

    private func combine(_ values: [[Float]], _ ranks: [[Int]]) -> [Float] {
        let count = values.first?.count ?? 0
        let total = weights.reduce(0.0) { $0 + Double(abs($1)) }
        return (0..<count).map { place in
            switch combination {
            case .rankMean:
                return -Float(ranks.reduce(0.0) { $0 + Double($1[place]) } / Double(ranks.count))
            case .weighted:
                var sum = 0.0
                for (metric, weight) in zip(values, weights) {
                    sum += Double(weight) * Double(metric[place])
                }
                return Float(sum / total)
            case .zscore:
                var sum = 0.0
                for (metric, weight) in zip(values, weights) {
                    let mean = metric.reduce(0.0) { $0 + Double($1) } / Double(count)
                    let variance = metric.reduce(0.0) { sum, value in
                        sum + (Double(value) - mean) * (Double(value) - mean)
                    }
                    let deviation = (variance / Double(count)).squareRoot()
                    if deviation > 0 {
                        sum += Double(weight) * (Double(metric[place]) - mean) / deviation
                    }
                }
                return Float(sum / total)
            }
        }
    }

    /// 1 for the greatest, ties by position.
    private static func ranks(_ values: [Float]) -> [Int] {
        let order = values.indices.sorted { (values[$1], $0) < (values[$0], $1) }
        var ranks = [Int](repeating: 0, count: values.count)
        for (rank, place) in order.enumerated() { ranks[place] = rank + 1 }
        return ranks
    }
}

/// A few images that are good and unlike each other.
public enum DiverseSelection {
    /// Picks one image after the other, each with the greatest (1 − diversity)·relevance −
    /// diversity·(greatest cosine with those picked before): maximal marginal relevance (Carbonell and
    /// Goldstein 1998). Relevance is the score mapped to 0…1 over the candidates.
    ///
    /// - Parameters:
    ///   - order: candidates with scores, best first.
    ///   - count: how many to pick.
    ///   - diversity: 0 (the order as it is) … 1 (only unlikeness counts after the first).
    ///   - embeddings: of every image by its index, of any length.
    public static func pick(
        _ order: [EnsembleRankedItem], count: Int, diversity: Float,
        embedding: (Int) -> [Float]
    ) -> [EnsembleRankedItem] {
        guard let best = order.first, let worst = order.last, diversity > 0 else {
            return Array(order.prefix(count))
        }
        let range = Double(best.score) - Double(worst.score)
        let relevance = order.map {
            range > 0 ? (Double($0.score) - Double(worst.score)) / range : 1
        }
        let vectors = order.map { embedding($0.index) }
        var nearest = [Double](repeating: -1, count: order.count)
        var left = Array(order.indices)
        var picked: [EnsembleRankedItem] = []
        while picked.count < count, !left.isEmpty {
            let isFirst = picked.isEmpty
            func value(_ place: Int) -> Double {
                isFirst
                    ? relevance[place]
                    : (1 - Double(diversity)) * relevance[place] - Double(diversity)
                        * nearest[place]
            }
            var choice = 0
            for position in left.indices where value(left[position]) > value(left[choice]) {
                choice = position
            }
            let place = left.remove(at: choice)
            picked.append(order[place])
            for other in left {
                nearest[other] = max(
                    nearest[other], Embedding.cosine(vectors[place], vectors[other]))
            }
        }
        return picked
    }
}
