import Encoders
import Guidance
import Prompts
import Testing

@Suite("Conditioning recipes")
struct RecipeTests {
    @Test("names are distinct and found again")
    func names() {
        #expect(Set(ConditioningRecipe.names).count == ConditioningRecipe.table.count)
        for recipe in ConditioningRecipe.table {
            #expect(ConditioningRecipe.named(recipe.name) == recipe)
            #expect(!recipe.encoders.isEmpty && recipe.encoders.allSatisfy { !$0.roles.isEmpty })
            #expect(recipe.hasHiddenStates || recipe.hasPooled)
        }
        #expect(ConditioningRecipe.named("sd") == nil)
    }

    /// (recipe, blocks, trimmed, clip skip) and the state, counted from the embeddings.
    @Test(
        "the layer of each recipe",
        arguments: [
            ("sd1", 12, false, 0, 12), ("sd1", 12, false, 1, 11), ("sd1", 12, true, 12, 0),
            ("sd2", 24, false, 0, 23), ("sd2", 23, true, 0, 23), ("sd2", 24, false, 2, 21),
            ("sdxl", 12, false, 0, 11), ("sdxl", 12, false, 1, 10),
            ("sd3-clip", 32, false, 0, 31), ("flux-clip", 12, false, 0, 12),
        ])
    func layers(
        _ name: String, layers: Int, isTrimmed: Bool, clipSkip: Int, state: Int
    ) throws {
        let recipe = try #require(ConditioningRecipe.named(name))
        #expect(
            try recipe.encoders[0].stateIndex(
                layers: layers, isTrimmed: isTrimmed, clipSkip: clipSkip) == state)
    }

    @Test("a clip skip beyond the first state is refused", arguments: [-1, 13, 100])
    func clipSkip(_ value: Int) throws {
        let recipe = try #require(ConditioningRecipe.named("sd1"))
        #expect {
            try recipe.encoders[0].stateIndex(layers: 12, isTrimmed: false, clipSkip: value)
        } throws: { error in
            guard case GuidanceError.parameter("clip_skip", _, "\(value)") = error else {
                return false
            }
            return true
        }
    }

    private func vectors(
        _ width: Int, tokens: Int, first: Float, until: [Int] = [1], pooled: Int? = nil
    ) -> PromptVectors {
        PromptVectors(
            segments: until.enumerated().map { number, end in
                PromptVectors.Segment(
                    untilStep: end,
                    parts: [
                        PromptVectors.Part(
                            weight: 1, tokens: tokens,
                            hidden: (0..<tokens * width).map { first + Float($0 + 100 * number) },
                            pooled: pooled.map { [Float](repeating: first, count: $0) })
                    ])
            })
    }

    @Test("hidden states are joined on features, pooled vectors one after the other")
    func join() throws {
        let recipe = try #require(ConditioningRecipe.named("sd3-clip"))
        let joined = try recipe.join(
            [
                vectors(2, tokens: 2, first: 0, pooled: 1),
                vectors(3, tokens: 2, first: 50, pooled: 2),
            ], width: 6)
        let part = joined.segments[0].parts[0]
        #expect(part.hidden == [0, 1, 50, 51, 52, 0, 2, 3, 53, 54, 55, 0])
        #expect(part.pooled == [0, 50, 50])
        #expect(throws: GuidanceError.self) {
            try recipe.join(
                [vectors(2, tokens: 2, first: 0), vectors(3, tokens: 2, first: 0)], width: 4)
        }
    }

    @Test("encoders with different numbers of positions are cut to the shorter one")
    func cut() throws {
        let recipe = try #require(ConditioningRecipe.named("sdxl"))
        for first in [2, 3] {
            let joined = try recipe.join([
                vectors(2, tokens: first, first: 0),
                vectors(1, tokens: 5 - first, first: 50, pooled: 3),
            ])
            let part = joined.segments[0].parts[0]
            #expect(part.tokens == 2)
            #expect(part.hidden == [0, 1, 50, 2, 3, 51])
            #expect(part.pooled == [50, 50, 50])
        }
    }

    @Test("parts of different weights are not joined")
    func weights() throws {
        let recipe = try #require(ConditioningRecipe.named("sdxl"))
        var second = vectors(1, tokens: 1, first: 0)
        second.segments[0].parts[0].weight = 2
        #expect {
            try recipe.join([vectors(1, tokens: 1, first: 0), second])
        } throws: { error in
            guard case GuidanceError.parameter("prompts_2", _, _) = error else { return false }
            return true
        }
    }

    @Test("A1111's SDXL takes zeros for an absent negative prompt, its refiner too")
    func absentNegatives() {
        for recipe in ConditioningRecipe.table {
            let isXL = recipe.name.hasPrefix("sdxl")
            #expect(recipe.absentNegative(in: .a1111) == (isXL ? .zeros : .empty))
            #expect(recipe.absentNegative(in: .plain) == recipe.absentNegative)
        }
    }

    @Test("segments of two encoders are cut at the ends of both")
    func segments() throws {
        let recipe = try #require(ConditioningRecipe.named("sdxl"))
        let joined = try recipe.join([
            vectors(1, tokens: 1, first: 0, until: [2, 4]),
            vectors(1, tokens: 1, first: 7, until: [3, 4]),
        ])
        #expect(joined.boundaries == [2, 3, 4])
        #expect(joined.segments.map { $0.parts[0].hidden } == [[0, 7], [100, 7], [100, 107]])
    }

    @Test("shorter prompts are padded with the empty prompt's rows, again and again")
    func padding() {
        let part = vectors(2, tokens: 2, first: 0).segments[0].parts[0]
        let padded = part.padded(to: 7, empty: [9, 8, 7, 6])
        #expect(padded.tokens == 7)
        #expect(padded.hidden == [0, 1, 2, 3, 9, 8, 7, 6, 9, 8, 7, 6, 9, 8])
        #expect(part.padded(to: 2, empty: [9, 8]) == part)
    }

    @Test("time ids as diffusers orders them")
    func timeIDs() {
        let sizes = ImageSizes(
            width: 640, height: 448, cropTop: 8, cropLeft: 16, originalWidth: 1280,
            aestheticScore: 7)
        #expect(TimeIDKind.sizes.values(sizes, isNegative: true) == [448, 1280, 8, 16, 448, 640])
        #expect(TimeIDKind.aesthetic.values(sizes, isNegative: false) == [448, 1280, 8, 16, 7])
        #expect(TimeIDKind.aesthetic.values(sizes, isNegative: true) == [448, 1280, 8, 16, 2.5])
    }
}
