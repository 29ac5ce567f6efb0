/// What one prompt comes to: in one encoder, or joined over all of a recipe's.
public struct PromptVectors: Sendable, Equatable {
    /// One set of vectors; a prompt in parts (`AND`) has several, each with its weight.
    public struct Part: Sendable, Equatable {
        public var weight: Double
        /// Rows of `hidden`.
        public var tokens: Int
        /// [tokens, W]; empty when the recipe wants none.
        public var hidden: [Float]
        public var pooled: [Float]?

        public init(weight: Double, tokens: Int, hidden: [Float], pooled: [Float]?) {
            self.weight = weight
            self.tokens = tokens
            self.hidden = hidden
            self.pooled = pooled
        }
    }

    /// What holds for some of the sampler's steps.
    public struct Segment: Sendable, Equatable {
        /// One more than the last step, counted from 0.
        public var untilStep: Int
        public var parts: [Part]

        public init(untilStep: Int, parts: [Part]) {
            self.untilStep = untilStep
            self.parts = parts
        }
    }

    /// In the order of the steps, at least one; all have as many parts.
    public var segments: [Segment]

    public init(segments: [Segment]) {
        self.segments = segments
    }

    /// Tokens of the longest part.
    public var tokens: Int { segments.flatMap(\.parts).map(\.tokens).max() ?? 0 }

    /// Where segments end.
    public var boundaries: [Int] { segments.map(\.untilStep) }

    /// How many parts the prompt has.
    public var partCount: Int { segments.first?.parts.count ?? 0 }

    /// The weight of each part, which is the same in all segments.
    var partWeights: [Double] { segments.first?.parts.map(\.weight) ?? [] }

    /// The segment that holds for the step before `boundary`; the last one behind the end.
    public func segment(until boundary: Int) -> Segment {
        segments.first { boundary <= $0.untilStep } ?? segments[segments.count - 1]
    }

    /// Memory of the values.
    public var bytes: Int {
        segments.flatMap(\.parts).reduce(0) {
            $0 + ($1.hidden.count + ($1.pooled?.count ?? 0)) * MemoryLayout<Float>.stride
        }
    }
}

extension PromptVectors.Part {
    /// The part with rows of an empty prompt appended, until there are `count`: how prompts of unequal
    /// length, such as a prompt and its negative, come to the same number of tokens.
    ///
    /// - Parameter empty: hidden states of an empty prompt, [C, W]; used again and again.
    public func padded(to count: Int, empty: [Float]) -> Self {
        guard count > tokens, tokens > 0, !hidden.isEmpty else { return self }
        let width = hidden.count / tokens
        let rows = empty.count / width
        precondition(rows > 0, "an empty prompt has rows")
        var result = self
        result.hidden.reserveCapacity(count * width)
        while result.tokens < count {
            let added = min(rows, count - result.tokens)
            result.hidden += empty[0..<added * width]
            result.tokens += added
        }
        return result
    }
}

extension ConditioningRecipe {
    /// Joins what the recipe's encoders made of one prompt: hidden states feature after feature, then
    /// zeros up to `hiddenWidth`; pooled vectors one after the other. Of encoders with different numbers
    /// of tokens the first ones are kept, as many as all have (ComfyUI, `comfy/sdxl_clip.py`, `cut_to`).
    ///
    /// - Parameters:
    ///   - prompts: one an encoder, in the recipe's order.
    ///   - width: instead of the recipe's `hiddenWidth`.
    /// - Throws: `GuidanceError.parameter` when the encoders' prompts have different numbers of parts,
    ///   or parts of different weights, or when `width` is less than the joined features.
    public func join(
        _ prompts: [PromptVectors], width: Int? = nil
    ) throws(GuidanceError) -> PromptVectors {
        precondition(prompts.count == encoders.count, "one prompt an encoder")
        let parts = prompts[0].partCount
        for prompt in prompts where prompt.partCount != parts {
            throw .parameter(
                field: "prompts_2", expected: "\(parts) parts, as the prompt has",
                actual: "\(prompt.partCount)")
        }
        let weights = prompts[0].partWeights
        for prompt in prompts where prompt.partWeights != weights {
            throw .parameter(
                field: "prompts_2", expected: "parts of the prompt's weights, \(weights)",
                actual: "\(prompt.partWeights)")
        }
        let boundaries = Set(prompts.flatMap(\.boundaries)).sorted()
        var joined: [PromptVectors.Segment] = []
        for boundary in boundaries {
            let segments = prompts.map { $0.segment(until: boundary) }
            var result: [PromptVectors.Part] = []
            for number in 0..<parts {
                result.append(try joinPart(segments.map { $0.parts[number] }, width: width))
            }
            joined.append(PromptVectors.Segment(untilStep: boundary, parts: result))
        }
        return PromptVectors(segments: joined)
    }

    private func joinPart(
        _ parts: [PromptVectors.Part], width: Int?
    ) throws(GuidanceError) -> PromptVectors.Part {
        let pooled = parts.compactMap(\.pooled)
        let tokens = parts.map(\.tokens).min() ?? 0
        var result = PromptVectors.Part(
            weight: parts[0].weight, tokens: tokens, hidden: [],
            pooled: pooled.isEmpty ? nil : pooled.flatMap { $0 })
        guard hasHiddenStates else { return result }
        let widths = parts.map { $0.hidden.count / max($0.tokens, 1) }
        let features = widths.reduce(0, +)
        let target = width ?? hiddenWidth ?? features
        guard target >= features else {
            throw .parameter(
                field: "hidden_width", expected: "at least the encoders' \(features) features",
                actual: "\(target)")
        }
        if parts.count == 1, target == features {
            result.hidden = parts[0].hidden
            return result
        }
        result.hidden = [Float](repeating: 0, count: tokens * target)
        var start = 0
        for (part, width) in zip(parts, widths) {
            for row in 0..<tokens {
                for column in 0..<width {
                    result.hidden[row * target + start + column] =
                        part.hidden[row * width + column]
                }
            }
            start += width
        }
        return result
    }
}
