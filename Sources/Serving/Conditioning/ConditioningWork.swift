import Encoders
import Guidance
import IPC
import JSON
import Prompts

/// The work that a set of prompts needs: those that are not cached are compiled into rows of tokens,
/// each an item of its own; the weights that they need are made; and equal rows are run once.
struct ConditioningWork: Sendable {
    /// A prompt that is not cached.
    private struct Pending: Sendable {
        /// In `slots`.
        let slot: Int
        let placed: PlacedPrompt
        let key: ConditioningKey
    }

    private let encoders: PromptEncoders
    /// Each different prompt once.
    private let slots: Slots<FinishedPrompt>
    /// Where each prompt is in `slots`, in the order in which they were given.
    private let places: [Int]
    private let pending: [Pending]
    private let compiled: Slots<Result<CompiledForEncoders, WireFault>>
    /// What the compiled prompts come to; filled once they are.
    private let arranged = Slots<ConditioningRows>(count: 1)
    private let cache: ConditioningCache
    private let limit: Int

    /// Different prompts that were answered from the cache.
    let cachedCount: Int
    var rowCount: Int { arranged[0]?.openCount ?? 0 }

    /// Looks into the cache; nothing else is done yet.
    ///
    /// - Parameter limit: bytes that the vectors of what is not cached may take together.
    init(
        _ prompts: [PlacedPrompt], encoders: PromptEncoders, cache: ConditioningCache, limit: Int
    ) {
        self.encoders = encoders
        self.cache = cache
        self.limit = limit
        slots = Slots(count: prompts.count)
        var cachedCount = 0
        var known: [ConditioningKey: Int] = [:]
        var places: [Int] = []
        var pending: [Pending] = []
        for (index, placed) in prompts.enumerated() {
            let key = encoders.key(placed)
            places.append(known[key] ?? index)
            guard known[key] == nil else { continue }
            known[key] = index
            if let finished = cache.value(key) {
                slots[index] = finished
                cachedCount += 1
            } else {
                pending.append(Pending(slot: index, placed: placed, key: key))
            }
        }
        self.cachedCount = cachedCount
        self.places = places
        self.pending = pending
        compiled = Slots(count: pending.count)
    }

    /// The whole of it, and what is done with `finished()` at the end.
    func plan(_ finish: @escaping @Sendable () throws(WireFault) -> Outcome) -> WorkPlan {
        let compilation = WorkPlan.Stage(itemCount: pending.count) { item, _ in
            compiled[item] = Result { () throws(WireFault) in
                try encoders.compile(pending[item].placed)
            }
        }
        return .beginning(with: [compilation]) { () throws(WireFault) in
            let rows = try arrange()
            arranged[0] = rows
            return .beginning(with: [rows.weights]) { () throws(WireFault) in
                WorkPlan(stages: try rows.stages(), finish: finish)
            }
        }
    }

    private func arrange() throws(WireFault) -> ConditioningRows {
        var prompts: [(placed: PlacedPrompt, compiled: CompiledForEncoders)] = []
        var bytes = 0
        for (index, prompt) in pending.enumerated() {
            guard let result = compiled[index] else {
                throw WireFault(.internal, "a prompt was not compiled")
            }
            let own = try result.get()
            bytes += encoders.vectorBytes(own.prompts, prompt.placed.prompt)
            guard bytes <= limit else {
                throw WireFault(
                    .tooLarge,
                    "expected prompts whose vectors take at most \(limit) bytes, found \(bytes): "
                        + "ask for less at once", field: prompt.placed.field)
            }
            prompts.append((prompt.placed, own))
        }
        return try ConditioningRows(prompts, encoders: encoders)
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
        for (number, prompt) in pending.enumerated() {
            let finished = try finish(number)
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

    private func finish(_ number: Int) throws(WireFault) -> FinishedPrompt {
        guard let rows = arranged[0], let prompt = try compiled[number]?.get() else {
            throw WireFault(.internal, "a prompt was not compiled")
        }
        let field = pending[number].placed.field
        let recipe = encoders.settings.recipe
        var parts: [PromptVectors] = []
        for (encoder, program) in prompt.prompts.enumerated() {
            let encoded = try rows.encoded(number, encoder: encoder, field: field)
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
            throw WireFault(error, field: field)
        }
        return FinishedPrompt(
            vectors: vectors, report: report, droppedTokens: dropped?.droppedTokens ?? 0,
            droppedText: dropped?.conditionings.flatMap(\.droppedText).joined(separator: " ") ?? "",
            ignoredText: prompt.prompts[0].compiled.ignoredText, notes: prompt.notes)
    }
}

extension FinishedPrompt {
    /// Memory, roughly: vectors exactly, the accounting by its tokens.
    var bytes: Int {
        vectors.bytes + droppedText.utf8.count + 128 * vectors.tokens
            + notes.reduce(0) { $0 + $1.utf8.count }
    }
}
