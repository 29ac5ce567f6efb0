/// What a prompt means before any tokenizer has read it.
///
/// Several text towers with vocabularies of their own share one program.
public struct PromptProgram: Sendable, Equatable {
    /// Steps of the sampler that see the same texts.
    public struct Segment: Sendable, Equatable {
        /// The last step of the segment, counted from 1; nil when no number of steps was given.
        public let untilStep: Int?
        /// Texts that are denoised apart and added up by their weights (A1111's `AND`); at least one.
        public let parts: [Part]
    }

    /// One text of a segment.
    public struct Part: Sendable, Equatable {
        /// The share of this part's guidance; negative ones push away.
        public let weight: Double
        /// Its text, by index in `compositions`.
        public let composition: Int
    }

    /// A text that becomes one sequence of hidden states.
    public struct Composition: Sendable, Equatable {
        /// The text as the prompt spells it; of A1111's schedules, what the steps leave of it.
        public let text: String
        /// What is joined on the token axis (compel's `.and()`); at least one.
        public let terms: [Term]
        /// The text whose first chunk, cut off where it ends, gives the pooled vector; nil when the
        /// first chunk of the first term does.
        public let pooledText: String?

        /// A text of one term without blending.
        init(_ text: String, pieces: [PromptPiece]) {
            self.init(
                text, terms: [Term(weight: 1, blend: [Blended(factor: 1, pieces: pieces)])],
                pooledText: nil)
        }

        init(_ text: String, terms: [Term], pooledText: String?) {
            self.text = text
            self.terms = terms
            self.pooledText = pooledText
        }
    }

    /// One item of a conjunction.
    public struct Term: Sendable, Equatable {
        /// How far from the empty prompt the hidden states go; 1 leaves them as they are.
        public let weight: Double
        /// What is added up, position by position (compel's `.blend()`); at least one.
        public let blend: [Blended]
    }

    /// One text of a blend.
    public struct Blended: Sendable, Equatable {
        /// Its share of the sum, normalised if the prompt says so.
        public let factor: Float
        public let pieces: [PromptPiece]
    }

    /// A LoRA that a prompt asks for (compel's `useLora(name, weight)`, A1111's `<lora:name:weight>`).
    public struct LoRA: Sendable, Equatable {
        public let name: String
        /// Its strength on the text encoders.
        public let weight: Double
        /// Its strength on the sampler's own network.
        public let unetWeight: Double
        /// Where it stands in the prompt, in Unicode scalars.
        public let offset: Int
    }

    public let syntax: PromptSyntax
    public let emphasis: Emphasis
    /// In the order of the steps, neighbours differing; at least one.
    public let segments: [Segment]
    /// The texts of all segments, each once.
    public let compositions: [Composition]
    /// LoRAs that the text asks for: the caller applies or refuses them.
    public let loras: [LoRA]
    /// Text of the prompt that the dialect ignores.
    public let ignoredText: [String]

    /// The program of a prompt.
    ///
    /// - Parameters:
    ///   - steps: how many steps the sampler takes, at least 1. Only A1111's schedules need it.
    ///   - isNegative: whether this is the negative prompt, in which A1111 knows no `AND` and no LoRA.
    ///   - emphasis: what becomes of weights.
    /// - Throws: `PromptError.syntax`, and `.steps` or `.tooMany` for too many steps or too much text.
    public init(
        _ prompt: String, syntax: PromptSyntax, steps: Int? = nil, isNegative: Bool = false,
        emphasis: Emphasis = .original
    ) throws(PromptError) {
        if let steps, !(1...A1111Schedule.mostSteps).contains(steps) { throw .steps(steps) }
        self.syntax = syntax
        self.emphasis = emphasis
        switch syntax {
        case .a1111:
            let (text, comments) = A1111Comments.strip(SourceText(prompt))
            // Negative prompts are text only.
            var networks = A1111Networks.Result(text: text)
            if !isNegative { networks = try A1111Networks.read(networks.text) }
            let schedule = try A1111Schedule.segments(
                of: networks.text, steps: steps, isNegative: isNegative)
            segments = schedule.segments
            var compositions: [Composition] = []
            for text in schedule.texts {
                let spelled = text.scalars[...].text
                let pieces =
                    emphasis == .none
                    ? Self.piece(spelled) : try AttentionSyntax.parse(text)
                compositions.append(
                    Composition(spelled, pieces: pieces.map { $0.weighted(by: emphasis) }))
            }
            self.compositions = compositions
            loras = networks.loras
            ignoredText = comments + networks.ignored
        case .plain, .comfy, .compel:
            let compel =
                syntax == .compel && emphasis != .none ? try CompelSyntax.parse(prompt) : nil
            segments = [Segment(untilStep: steps, parts: [Part(weight: 1, composition: 0)])]
            loras = compel?.loras ?? []
            ignoredText = compel?.ignoredText ?? []
            if let compel {
                compositions = [compel.composition.weighted(by: emphasis)]
            } else if syntax == .comfy {
                let pieces =
                    emphasis == .none
                    ? Self.piece(ComfySyntax.unescaped(prompt)) : try ComfySyntax.parse(prompt)
                compositions = [
                    Composition(prompt, pieces: pieces.map { $0.weighted(by: emphasis) })
                ]
            } else {
                compositions = [Composition(prompt, pieces: Self.piece(prompt))]
            }
        }
    }

    private static func piece(_ text: String) -> [PromptPiece] {
        text.isEmpty ? [] : [.text(text, weight: 1)]
    }

    /// Whether no step sees any text: the prompt's box was left empty.
    public var isEmpty: Bool { compositions.allSatisfy(\.text.isEmpty) }
}

extension PromptPiece {
    /// The piece with the weight that the emphasis leaves it.
    fileprivate func weighted(by emphasis: Emphasis) -> PromptPiece {
        if emphasis == .ignore, case .text(let text, _) = self {
            .text(text, weight: 1)
        } else {
            self
        }
    }
}

extension PromptProgram.Composition {
    fileprivate func weighted(by emphasis: Emphasis) -> Self {
        let terms = terms.map { term in
            PromptProgram.Term(
                weight: term.weight,
                blend: term.blend.map { blended in
                    PromptProgram.Blended(
                        factor: blended.factor,
                        pieces: blended.pieces.map { $0.weighted(by: emphasis) })
                })
        }
        return Self(text, terms: terms, pooledText: pooledText)
    }
}
