import Glibc
import Guidance
import Testing

@Suite struct ScoringTests {
    @Test func metricsFollowTheirDefinitions() {
        let image: [Float] = [3, 4]
        let prompts: [[Float]] = [[1, 0], [0, 2], [-1, 0]]
        #expect(
            Scoring(metric: .cosine, logitScale: 100).scores(image: image, prompts: prompts)
                == [0.6, 0.8, -0.6])
        #expect(
            Scoring(metric: .logit, logitScale: 100).scores(image: image, prompts: prompts)
                == [60, 80, -60])
        #expect(
            Scoring(metric: .clipscore, logitScale: 100).scores(image: image, prompts: prompts)
                == [1.5, 2, 0])
        #expect(Metric.clipscore.text(for: "a cat") == "A photo depicts a cat")
    }

    @Test func ranksBestFirstAndTiesByIndex() {
        let ranking = Ranking.best([0.1, nil, 0.9, 0.1, 0.9], limit: nil)
        #expect(ranking.map(\.index) == [2, 4, 0, 3])
        #expect(Ranking.best([0.1, 0.2], limit: 1).map(\.index) == [1])
        #expect(Ranking.best([nil, nil]).isEmpty)
        // What is no number has no place in an order, least of all the first.
        #expect(Ranking.best([-0.5, .nan, -0.1]).map(\.index) == [2, 0])
    }

    @Test func probabilitiesAreASoftmaxOfScaledCosines() {
        let probabilities = ZeroShot.probabilities(
            image: [1, 0], classVectors: [[1, 0], [0, 1]], logitScale: 2)
        #expect(abs(probabilities[0] - Float(exp(2.0) / (exp(2.0) + 1))) < 1e-6)
        #expect(abs(probabilities.reduce(0, +) - 1) < 1e-6)
        let sharp = ZeroShot.probabilities(
            image: [1, 0], classVectors: [[1, 0], [-1, 0]], logitScale: 1e6)
        #expect(sharp == [1, 0])
    }

    @Test func templatesAreFilledLabelByLabel() throws {
        let zeroShot = try ZeroShot(labels: ["cat", "{} dog"], templates: ["a {}.", "{}"])
        #expect(zeroShot.texts == ["a cat.", "cat", "a {} dog.", "{} dog"])
        let vectors = try zeroShot.classVectors([[2, 0], [0, 3], [1, 0], [1, 0]])
        #expect(abs(vectors[0][0] - Float(0.5.squareRoot())) < 1e-6)
        #expect(vectors[1] == [1, 0])
    }

    /// Their mean is rounding, or nothing: it would make every image equally likely.
    @Test func refusesALabelWhoseTemplatesCancel() throws {
        let zeroShot = try ZeroShot(labels: ["cat", "dog"], templates: ["a {}.", "no {}."])
        let close: [Float] = [0.6, 0.8]
        for opposite in [[-3, 0], [-3, 1e-7]] as [[Float]] {
            #expect(
                throws: GuidanceError.parameter(
                    field: "labels[1]",
                    expected: "templates whose embeddings have a mean with a direction",
                    actual: "2 that cancel to length 0")
            ) { try zeroShot.classVectors([close, close, [1, 0], opposite]) }
        }
        #expect(try zeroShot.classVectors([close, close, [1, 0], [-1, 0.1]])[1][1] > 0.99)
    }

    @Test(
        arguments: [
            ([], ["{}"]), (["a"], []), (["a"], ["none"]), (["a"], ["{} and {}"]),
        ] as [([String], [String])])
    func refusesUnusableLabelsAndTemplates(labels: [String], templates: [String]) {
        #expect(throws: GuidanceError.self) { try ZeroShot(labels: labels, templates: templates) }
    }
}
