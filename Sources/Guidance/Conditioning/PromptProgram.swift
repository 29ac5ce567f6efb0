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
        /// Where it stands in the prompt, in Unicode scalars.
        public let offset: Int
    }

    public let syntax: PromptSyntax
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
    /// - Throws: `PromptError.syntax`, and `.steps` or `.tooMany` for too many steps or too much text.
    public init(
        _ prompt: String, syntax: PromptSyntax, steps: Int? = nil, isNegative: Bool = false
    ) throws(PromptError) {
        if let steps, !(1...A1111Schedule.mostSteps).contains(steps) { throw .steps(steps) }
        self.syntax = syntax
        switch syntax {
        case .a1111:
            // Negative prompts are text only.
            var networks = A1111Networks.Result(text: SourceText(prompt))
            if !isNegative { networks = try A1111Networks.read(networks.text) }
            let schedule = try A1111Schedule.segments(
                of: networks.text, steps: steps, isNegative: isNegative)
            segments = schedule.segments
            var compositions: [Composition] = []
            for text in schedule.texts {
                let pieces = try AttentionSyntax.parse(text)
                compositions.append(Composition(text.scalars[...].text, pieces: pieces))
            }
            self.compositions = compositions
            loras = networks.loras
            ignoredText = networks.ignored
        case .plain, .comfy, .compel:
            let compel = syntax == .compel ? try CompelSyntax.parse(prompt) : nil
            segments = [Segment(untilStep: steps, parts: [Part(weight: 1, composition: 0)])]
            loras = compel?.loras ?? []
            ignoredText = compel?.ignoredText ?? []
            if let compel {
                compositions = [compel.composition]
            } else if syntax == .comfy {
                compositions = [Composition(prompt, pieces: try ComfySyntax.parse(prompt))]
            } else {
                let pieces: [PromptPiece] = prompt.isEmpty ? [] : [.text(prompt, weight: 1)]
                compositions = [Composition(prompt, pieces: pieces)]
            }
        }
    }
}
