import Guidance
import Testing

@Suite struct EnsembleRankingTests {
    /// Two metrics of very different scales that disagree on images 0 and 1.
    private static let scores: [[Float?]] = [[0.30, 0.31, 0.10, nil], [22, 20, 19, 30]]

    @Test func ranksAreAveragedWithTiesByIndex() throws {
        let ranking = try EnsembleRanking(.rankMean, weights: nil, metrics: 2)
        let order = ranking.order(Self.scores)
        // Image 3 has no first score; 0 and 1 have ranks 2, 1 and 1, 2.
        #expect(order.map(\.index) == [0, 1, 2])
        #expect(order.map(\.score) == [-1.5, -1.5, -3])
        #expect(order[0].ranks == [2, 1] && order[0].scores == [0.30, 22])
    }

    @Test func weightsScaleScoresAsTheyAre() throws {
        let ranking = try EnsembleRanking(.weighted, weights: [100, 1], metrics: 2)
        let order = ranking.order(Self.scores)
        #expect(order.map(\.index) == [0, 1, 2])
        #expect(abs(order[0].score - (30 + 22) / 101) < 1e-5)
        let negative = try EnsembleRanking(.weighted, weights: [0, -1], metrics: 2)
        #expect(negative.order(Self.scores).map(\.index) == [2, 1, 0])
    }

    @Test func standardScoresForgetScalesAndConstants() throws {
        let ranking = try EnsembleRanking(.zscore, weights: nil, metrics: 2)
        let order = ranking.order([[1, 2, 3], [70, 70, 70]])
        #expect(order.map(\.index) == [2, 1, 0])
        // (3 − 2) / √(2/3), halved because the constant metric says nothing.
        #expect(abs(order[0].score - 0.5 * 1.2247449) < 1e-6)
        let scaled = ranking.order([[10, 20, 30], [7, 7, 7]])
        #expect(zip(order, scaled).allSatisfy { abs($0.score - $1.score) < 1e-6 })
    }

    @Test func groupsAreOrderedAmongThemselves() throws {
        let ranking = try EnsembleRanking(.rankMean, weights: nil, metrics: 1)
        let orders = ranking.orders([[1, 5, 2, 4, nil]], groups: [7, 3, 7, 3, 9])
        #expect(orders.map(\.group) == [7, 3, 9])
        #expect(orders.map { $0.order.map(\.index) } == [[2, 0], [1, 3], []])
        #expect(orders[0].order.map(\.ranks) == [[1], [2]])
    }

    @Test func badWeightsAreNamed() {
        for weights: [Float] in [[1], [0, 0], [.nan, 1], [1, 2, 3]] {
            #expect(throws: GuidanceError.self) {
                try EnsembleRanking(.weighted, weights: weights, metrics: 2)
            }
        }
        #expect(throws: GuidanceError.self) {
            try EnsembleRanking(.rankMean, weights: [1, 1], metrics: 2)
        }
    }

    @Test func diversityPassesOverTwins() throws {
        let ranking = try EnsembleRanking(.weighted, weights: nil, metrics: 1)
        let order = ranking.order([[1.0, 0.99, 0.5, 0.0]])
        let embeddings: [[Float]] = [[1, 0], [1, 0.01], [0, 1], [-0.1, -1]]
        func pick(_ count: Int, _ diversity: Float) -> [Int] {
            DiverseSelection.pick(order, count: count, diversity: diversity) { embeddings[$0] }
                .map(\.index)
        }
        #expect(pick(3, 0) == [0, 1, 2])
        #expect(pick(2, 0.5) == [0, 2])
        #expect(pick(2, 1) == [0, 3])
        #expect(pick(9, 0.5).count == 4)
        #expect(DiverseSelection.pick([], count: 2, diversity: 0.5) { embeddings[$0] }.isEmpty)
    }
}
