import Encoders
import Guidance
import IPC
import JSON
import Prompts

/// The work that a set of prompts needs: those that are not cached are compiled into rows of tokens,
/// equal rows are run once, each as an item of its own.
struct ConditioningWork: Sendable {
    private struct Pending: Sendable {
        /// In `slots`.
        let slot: Int
        /// The parameter at fault when it comes to nothing.
        let field: String
        let key: ConditioningKey
        /// One an encoder.
        let prompts: [EncoderPrompt]
        let notes: [String]
        /// Where each one's rows are.
        let rows: [[Int]]
    }

    /// What makes two rows the same.
    private struct RowKey: Hashable {
        let encoder: Int
        let loras: [EncoderVariants.Key.LoRA]
        let row: TokenRow
        let state: Int
    }

    private struct Row: Sendable {
        let encoder: Int
        let variant: EncoderVariants.Variant
        let tokens: [Int32]
        let endIndex: Int
        let hidden: Range<Int>
        /// Which layer's states are wanted.
        let state: Int
        /// Where its result is kept; only for empty prompts.
        let emptyKey: EncoderVariants.EmptyRowKey?

        /// Whether both rows run through the same tower, up to the same layer.
        func runsWith(_ other: Row) -> Bool {
            encoder == other.encoder && state == other.state
                && variant.encoder === other.variant.encoder
        }
    }

    /// Which weights rows need.
    private struct VariantKey: Hashable {
        let encoder: Int
        let loras: [EncoderVariants.Key.LoRA]
        let hasEmbeddings: Bool
    }

    /// Rows that one request may have run.
    static let rowLimit = 2048

    private let encoders: PromptEncoders
    /// Each different prompt once.
    private let slots: Slots<FinishedPrompt>
    /// Where each prompt is in `slots`, in the order in which they were given.
    private let places: [Int]
    private let pending: [Pending]
    private let rows: [Row]
    /// The numbers of the rows that have no result yet, encoder by encoder: neighbours run together.
    private let open: [Int]
    private let results: Slots<Result<EncodedRow, WireFault>>
    private let cache: ConditioningCache

    /// Different prompts that were answered from the cache.
    let cachedCount: Int
    var rowCount: Int { open.count }

    /// Compiles what is not cached, and makes the weights that it needs.
    ///
    /// - Parameter limit: bytes that the vectors of what is not cached may take together.
    init(
        _ prompts: [PlacedPrompt], encoders: PromptEncoders, cache: ConditioningCache, limit: Int
    ) throws(WireFault) {
        self.encoders = encoders
        self.cache = cache
        slots = Slots(count: prompts.count)
        var cachedCount = 0
        var known: [ConditioningKey: Int] = [:]
        var slotPlaces: [Int] = []
        var pending: [Pending] = []
        var rows: [Row] = []
        var positions: [RowKey: Int] = [:]
        var variants: [VariantKey: EncoderVariants.Variant] = [:]
        var bytes = 0
        for (index, placed) in prompts.enumerated() {
            let key = encoders.key(placed)
            slotPlaces.append(known[key] ?? index)
            guard known[key] == nil else { continue }
            known[key] = index
            if let finished = cache.value(key) {
                slots[index] = finished
                cachedCount += 1
                continue
            }
            let (compiled, notes) = try encoders.compile(placed)
            bytes += encoders.vectorBytes(compiled, placed.prompt)
            guard bytes <= limit else {
                throw WireFault(
                    .tooLarge,
                    "expected prompts whose vectors take at most \(limit) bytes, found \(bytes): "
                        + "ask for less at once", field: placed.field)
            }
            var places: [[Int]] = []
            for (number, prompt) in compiled.enumerated() {
                let state = encoders.entries[number].states[placed.clipSkip] ?? 0
                let loras = encoders.changing(number, placed.loras)
                let role = encoders.entries[number].tower.role
                let loraKeys = loras.map {
                    EncoderVariants.Key.LoRA(
                        serial: $0.entry.serial, strength: $0.strength(for: role))
                }
                var own: [Int] = []
                for (place, row) in prompt.rows.enumerated() {
                    let rowKey = RowKey(encoder: number, loras: loraKeys, row: row, state: state)
                    if let known = positions[rowKey] {
                        own.append(known)
                        continue
                    }
                    guard rows.count < ConditioningWork.rowLimit else {
                        throw WireFault(
                            .tooLarge,
                            "expected at most \(ConditioningWork.rowLimit) rows of tokens, "
                                + "found more", field: placed.field)
                    }
                    let wanted = VariantKey(
                        encoder: number, loras: loraKeys, hasEmbeddings: row.tokens == nil)
                    let variant: EncoderVariants.Variant
                    if let known = variants[wanted] {
                        variant = known
                    } else {
                        variant = try encoders.variant(
                            number, loras: loras, hasEmbeddings: wanted.hasEmbeddings)
                        variants[wanted] = variant
                    }
                    positions[rowKey] = rows.count
                    own.append(rows.count)
                    rows.append(
                        Row(
                            encoder: number, variant: variant,
                            tokens: row.entries.map { variant.token($0) },
                            endIndex: row.endIndex, hidden: row.hiddenPositions, state: state,
                            emptyKey: prompt.compiled.isEmpty(row: place)
                                ? encoders.emptyRowKey(
                                    number, loras: loraKeys, row: row, state: state) : nil))
                }
                places.append(own)
            }
            pending.append(
                Pending(
                    slot: index, field: placed.field, key: key, prompts: compiled, notes: notes,
                    rows: places))
        }
        self.cachedCount = cachedCount
        places = slotPlaces
        self.pending = pending
        self.rows = rows
        results = Slots(count: rows.count)
        var open: [Int] = []
        for (index, row) in rows.enumerated() {
            if let key = row.emptyKey, let known = encoders.variants.emptyRows.value(key) {
                results[index] = .success(known)
            } else {
                open.append(index)
            }
        }
        self.open = open.sorted { (rows[$0].encoder, $0) < (rows[$1].encoder, $1) }
    }

    /// Runs the rows; nothing when everything is cached.
    var stages: [WorkPlan.Stage] {
        guard !open.isEmpty else { return [] }
        let largest = encoders.entries.map(\.encoder.tower.preferredGroup).min() ?? 1
        return [
            WorkPlan.Stage(itemCount: open.count, groupSize: largest) { items, worker in
                // Neighbours that run with the same weights go through the tower together.
                var left = open[items]
                while let first = left.first {
                    let group = left.prefix { rows[$0].runsWith(rows[first]) }
                    let encoded = Result { () throws(EncoderError) in
                        try run(group.map { rows[$0] }, worker)
                    }
                    for (index, row) in group.enumerated() {
                        let result = Result { () throws(EncoderError) in
                            let encoded = try encoded.get()[index]
                            try ConditioningWork.check(encoded)
                            return encoded
                        }
                        results[row] = result.mapError { WireFault($0) }
                        if let key = rows[row].emptyKey, case .success(let encoded) = result {
                            encoders.variants.emptyRows.insert(
                                encoded, bytes: encoded.bytes, for: key)
                        }
                    }
                    left = left.dropFirst(group.count)
                }
            }
        ]
    }

    /// Runs rows of one encoder with the same weights.
    private func run(_ rows: [Row], _ worker: Worker) throws(EncoderError) -> [EncodedRow] {
        let first = rows[0]
        let entry = encoders.entries[first.encoder]
        let encoder = first.variant.encoder
        let wantsHidden = encoders.settings.recipe.hasHiddenStates
        return try entry.recipe.encode(
            rows: rows.map(\.tokens), endIndices: rows.map(\.endIndex),
            hiding: rows.map(\.hidden), state: first.state, wantsHidden: wantsHidden,
            encoder: encoder,
            workspace: worker.workspace(for: encoder.tower))
    }

    /// Checks what came out of a tower, before weights are applied to it.
    private static func check(_ row: EncodedRow) throws(EncoderError) {
        try ResultCheck.finite(row.hidden, from: .text, named: "hidden states")
        if let pooled = row.pooled {
            try ResultCheck.embedding(pooled, from: .text, named: "a pooled vector")
        }
    }

    /// Checks what weights, blends and joins made of it.
    private static func check(_ vectors: PromptVectors) throws(EncoderError) {
        for part in vectors.segments.flatMap(\.parts) {
            try ResultCheck.finite(part.hidden, from: .text, named: "weighted hidden states")
            try ResultCheck.finite(part.pooled ?? [], from: .text, named: "a pooled vector")
        }
    }

    /// Every prompt's vectors, in order; after the stages have run.
    func finished() throws(WireFault) -> [FinishedPrompt] {
        for prompt in pending {
            let finished = try finish(prompt)
            slots[prompt.slot] = finished
            cache.insert(
                finished, bytes: prompt.key.bytes + finished.bytes, for: prompt.key)
        }
        let finished = slots.all
        var all: [FinishedPrompt] = []
        for place in places {
            guard let slot = finished[place] else {
                throw WireFault(.internal, "a prompt was not encoded")
            }
            all.append(slot)
        }
        return all
    }

    private func finish(_ prompt: Pending) throws(WireFault) -> FinishedPrompt {
        let recipe = encoders.settings.recipe
        var parts: [PromptVectors] = []
        for (program, places) in zip(prompt.prompts, prompt.rows) {
            var encoded: [EncodedRow] = []
            for place in places {
                guard let result = results[place] else {
                    throw WireFault(.internal, "a row of tokens was not run")
                }
                do throws(WireFault) {
                    encoded.append(try result.get())
                } catch {
                    var fault = error
                    fault.field = fault.field ?? prompt.field
                    throw fault
                }
            }
            parts.append(program.combine(encoded, wantsHidden: recipe.hasHiddenStates))
        }
        let dropped = prompt.prompts.map(\.compiled).max { $0.droppedTokens < $1.droppedTokens }
        var report: JSONObject = [
            "encoders": .array(prompt.prompts.map { .object($0.report) })
        ]
        report["segments"] = prompt.prompts[0].schedule
        let vectors: PromptVectors
        do throws(GuidanceError) {
            vectors = try recipe.join(parts, width: encoders.settings.hiddenWidth)
        } catch {
            throw WireFault(error)
        }
        do throws(EncoderError) {
            try ConditioningWork.check(vectors)
        } catch {
            throw WireFault(error, field: prompt.field)
        }
        return FinishedPrompt(
            vectors: vectors, report: report, droppedTokens: dropped?.droppedTokens ?? 0,
            droppedText: dropped?.conditionings.flatMap(\.droppedText).joined(separator: " ") ?? "",
            ignoredText: prompt.prompts[0].compiled.ignoredText, notes: prompt.notes)
    }
}

extension EncoderVariants.Variant {
    /// The id of an entry: textual inversions stand behind the vocabulary.
    fileprivate func token(_ entry: TokenEntry) -> Int32 {
        switch entry {
        case .token(let token): token
        case .embedding(let name, let vector): Int32((firstTokens[name] ?? 0) + vector)
        }
    }
}

extension FinishedPrompt {
    /// Memory, roughly: vectors exactly, the accounting by its tokens.
    var bytes: Int {
        vectors.bytes + droppedText.utf8.count + 128 * vectors.tokens
            + notes.reduce(0) { $0 + $1.utf8.count }
    }
}
