import Guidance
import Testing

@Suite struct TokenWeightingTests {
    @Test func emphasisMultipliesAndRestoresTheMean() {
        // Sum 10; weighted 1 2 6 8 = 17; scale 10/17.
        var states: [Float] = [1, 2, 3, 4]
        TokenWeighting.multiplyKeepingMean(&states, weights: [1, 2])
        for (found, expected) in zip(states, [10.0 / 17, 20.0 / 17, 60.0 / 17, 80.0 / 17]) {
            #expect(abs(Double(found) - expected) < 1e-6)
        }
    }

    @Test func emphasisOfOneChangesNoBit() {
        var random = SplitMix64(state: 3)
        let before = random.vector(77 * 8)
        var states = before
        TokenWeighting.multiplyKeepingMean(&states, weights: [Float](repeating: 1, count: 77))
        #expect(states == before)
        TokenWeighting.interpolate(
            &states, fromEmpty: random.vector(77 * 8), weights: [Float](repeating: 1, count: 77))
        #expect(states == before)
    }

    @Test func aMeanOfZeroLeavesFiniteStates() {
        var states: [Float] = [1, 2, 3, 4]
        TokenWeighting.multiplyKeepingMean(&states, weights: [0, 0])
        #expect(states == [0, 0, 0, 0])
    }

    @Test func interpolationStartsAtTheEmptyPrompt() {
        var states: [Float] = [1, 2, 3, 4, 5, 6]
        TokenWeighting.interpolate(&states, fromEmpty: [0, 1, 1, 1, 4, 4], weights: [2, 0, 1])
        #expect(states == [2, 3, 1, 1, 5, 6])
    }
}
