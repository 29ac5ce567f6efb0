import Encoders
import IPC

/// Encodes texts, one item each.
struct TextStage: Sendable {
    struct Encoded: Sendable {
        /// [D], not normalised.
        let embedding: [Float]
        let droppedTokens: Int
        let droppedText: String
    }

    let texts: [String]
    let tower: any TextTower
    private let tokenizer: BytePairTokenizer
    private let overflow: Overflow
    private let limits: OperationLimits
    /// The parameter that the texts came from; faults name it with the text's index.
    private let field: String
    /// How many texts one entry of that parameter makes (templates of a label).
    private let textsPerEntry: Int
    private let slots: Slots<Result<Encoded, WireFault>>
    /// Texts on their way through the tower.
    private let tokenized: Slots<TokenizedText>

    /// - Throws: `bad_request` when the model has no text tower.
    init(
        texts: [String], field: String, overflow: Overflow, context: OperationContext,
        textsPerEntry: Int = 1
    ) throws(WireFault) {
        let (tower, tokenizer) = try TextStage.textSide(of: context.model)
        self.texts = texts
        self.tower = tower
        self.tokenizer = tokenizer
        self.overflow = overflow
        self.limits = context.limits
        self.field = field
        self.textsPerEntry = textsPerEntry
        slots = Slots(count: texts.count)
        tokenized = Slots(count: texts.count)
    }

    static func textSide(
        of model: LoadedModel
    ) throws(WireFault) -> (any TextTower, BytePairTokenizer) {
        guard let tower = model.model.text, let tokenizer = model.model.tokenizer else {
            let reason = model.model.missingTokenizer.map { "without a tokenizer: \($0)" }
            throw WireFault(
                .badRequest,
                "expected a model with a text tower, found \"\(model.name)\" "
                    + (reason ?? "without one"),
                field: "model")
        }
        return (tower, tokenizer)
    }

    var stage: WorkPlan.Stage { WorkPlan.Stage([(work, 0..<texts.count)]) }

    /// Texts that cannot be tokenized fail alone; the others of a group are encoded together.
    private var work: TowerWork<[Int32], [Float]> {
        TowerWork(
            key: GroupKey(tower, .texts), groupSize: tower.preferredGroup,
            take: { item in
                do throws(WireFault) {
                    let text = try TextStage.tokenize(
                        texts[item], tokenizer, tower, overflow, limits, field: fieldName(item))
                    tokenized[item] = text
                    return text.tokens
                } catch {
                    slots[item] = .failure(error)
                    return nil
                }
            },
            give: { item, result in
                slots[item] = result.map { embedding in
                    Encoded(
                        embedding: embedding,
                        droppedTokens: tokenized[item]?.droppedTokens ?? 0,
                        droppedText: tokenized[item]?.droppedText ?? "")
                }.mapError { WireFault($0, field: fieldName(item)) }
                tokenized[item] = nil
            },
            compute: { [tower] texts, worker throws(EncoderError) in
                try tower.embed(texts: texts, workspace: worker.workspace(for: tower)).map {
                    embedding in
                    Result { () throws(EncoderError) in
                        try ResultCheck.embedding(embedding, from: .text)
                        return embedding
                    }
                }
            })
    }

    private func fieldName(_ item: Int) -> String {
        field == "prompt" ? "params.prompt" : "params.\(field)[\(item / textsPerEntry)]"
    }

    static func tokenize(
        _ text: String, _ tokenizer: BytePairTokenizer, _ tower: any TextTower,
        _ overflow: Overflow, _ limits: OperationLimits, field: String
    ) throws(WireFault) -> TokenizedText {
        if text.utf8.count > limits.textBytes {
            throw WireFault(
                .tooLarge,
                "expected at most \(limits.textBytes) bytes of text, "
                    + "found \(text.utf8.count)",
                field: field)
        }
        do throws(EncoderError) {
            return try tokenizer.tokenize(
                text, contextLength: tower.sizes.contextLength, overflow: overflow)
        } catch {
            throw WireFault(error, field: field)
        }
    }

    /// Every text's result, in order; after the stage has run.
    var results: [Result<Encoded, WireFault>] {
        slots.all.map { slot in
            slot ?? .failure(WireFault(.internal, "a text was not encoded"))
        }
    }

    /// All embeddings [P][D].
    ///
    /// - Throws: the fault of the first text that could not be encoded.
    func embeddings() throws(WireFault) -> [[Float]] {
        var embeddings: [[Float]] = []
        for result in results { embeddings.append(try result.get().embedding) }
        return embeddings
    }

    /// How much of a dropped text a warning repeats; `tokenize` returns all of it.
    private static let quotedCharacters = 400

    /// A warning for each text that was cut.
    var truncationWarnings: [String] {
        results.enumerated().compactMap { index, result in
            guard case .success(let encoded) = result, encoded.droppedTokens > 0 else { return nil }
            let dropped = encoded.droppedText
            let quoted = dropped.prefix(TextStage.quotedCharacters)
            let more = quoted.endIndex < dropped.endIndex ? "…" : ""
            return "\(fieldName(index)): \(encoded.droppedTokens) tokens dropped: "
                + "\"\(quoted)\(more)\""
        }
    }
}
