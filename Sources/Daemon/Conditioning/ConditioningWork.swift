package import Guidance
import Encoders
import IPC
package import JSON

/// A prompt's finished vectors and its accounting, as they are cached.
package struct FinishedPrompt: Sendable {
    package let conditioning: PromptVectors
    /// The accounting, one object an encoder.
    package let report: JSONValue
    package let droppedTokens: Int
    package let droppedText: String
}

/// A prompt as a request states it.
struct PromptText: Hashable, Sendable {
    var text: String
    /// What the recipe's second encoder gets instead.
    var second: String?

    static let empty = PromptText(text: "", second: nil)
}

/// A prompt and the parameters that faults name.
struct PlacedPrompt: Sendable {
    let prompt: PromptText
    let field: String
    let secondField: String
}

/// What decides a finished prompt: equal keys, equal bits.
package struct ConditioningKey: Hashable, Sendable {
    /// Of the model, with everything that was merged into it.
    let fingerprint: String
    let recipe: String
    let syntax: PromptSyntax
    let longPrompts: LongPromptPolicy
    let clipSkip: Int
    let hiddenWidth: Int?
    let steps: Int?
    let prompt: PromptText

    var bytes: Int {
        fingerprint.utf8.count + prompt.text.utf8.count + (prompt.second?.utf8.count ?? 0) + 256
    }
}

package typealias ConditioningCache = LeastRecentlyUsed<ConditioningKey, FinishedPrompt>

/// The work that a set of prompts needs: those that are not cached are compiled into rows of tokens,
/// equal rows are run once, each as an item of its own.
struct ConditioningWork: Sendable {
    private struct Pending: Sendable {
        let index: Int
        let key: ConditioningKey
        /// One an encoder.
        let programs: [PromptProgram]
        /// Where each program's rows are.
        let rows: [[Int]]
    }

    private struct RowKey: Hashable {
        let encoder: Int
        let row: PromptProgram.Row
    }

    /// Rows that one request may have run.
    static let rowLimit = 2048

    let settings: ConditioningSettings
    let encoders: [TextEncoder]
    /// Every prompt, in the order of `prompts`.
    private let slots: Slots<FinishedPrompt>
    private let pending: [Pending]
    private let rows: [RowKey]
    private let states: [Int]
    private let results: Slots<Result<EncodedRow, WireFault>>
    private let cache: ConditioningCache

    var cached: Int { slots.count - pending.count }
    var rowCount: Int { rows.count }

    /// Compiles what is not cached.
    ///
    /// - Parameters:
    ///   - fingerprint: of the encoders' weights.
    init(
        _ prompts: [PlacedPrompt], settings: ConditioningSettings,
        encoders: [TextEncoder], fingerprint: String, cache: ConditioningCache
    ) throws(WireFault) {
        self.settings = settings
        self.encoders = encoders
        self.cache = cache
        let recipe = settings.recipe
        var states: [Int] = []
        do throws(GuidanceError) {
            for (entry, encoder) in zip(recipe.encoders, encoders) {
                states.append(try entry.stateIndex(encoder, clipSkip: settings.clipSkip))
            }
        } catch {
            throw WireFault(error)
        }
        self.states = states
        slots = Slots(count: prompts.count)
        var pending: [Pending] = []
        var rows: [RowKey] = []
        var positions: [RowKey: Int] = [:]
        for (index, entry) in prompts.enumerated() {
            let key = ConditioningKey(
                fingerprint: fingerprint, recipe: recipe.name, syntax: settings.syntax,
                longPrompts: settings.longPrompts, clipSkip: settings.clipSkip,
                hiddenWidth: settings.hiddenWidth, steps: settings.steps, prompt: entry.prompt)
            if let finished = cache.value(key) {
                slots[index] = finished
                continue
            }
            var programs: [PromptProgram] = []
            var places: [[Int]] = []
            for (number, encoder) in encoders.enumerated() {
                let text = number == 1 ? entry.prompt.second ?? entry.prompt.text : entry.prompt.text
                do throws(PromptError) {
                    programs.append(
                        try PromptProgram(
                            text, settings: settings, recipe: recipe.encoders[number],
                            encoder: encoder))
                } catch {
                    let isSecond = number == 1 && entry.prompt.second != nil
                    throw WireFault(error, field: isSecond ? entry.secondField : entry.field)
                }
            }
            let longest = programs.map(\.tokenCount).max() ?? 0
            for number in programs.indices {
                if programs[number].tokenCount < longest { programs[number].needsEmpty = true }
                places.append(
                    programs[number].rows.map { row in
                        let key = RowKey(encoder: number, row: row)
                        if let position = positions[key] { return position }
                        positions[key] = rows.count
                        rows.append(key)
                        return rows.count - 1
                    })
            }
            if rows.count > ConditioningWork.rowLimit {
                throw WireFault(
                    .tooLarge,
                    "expected at most \(ConditioningWork.rowLimit) rows of tokens, found more",
                    field: entry.field)
            }
            pending.append(Pending(index: index, key: key, programs: programs, rows: places))
        }
        self.pending = pending
        self.rows = rows
        results = Slots(count: rows.count)
    }

    /// Runs the rows; nothing when everything is cached.
    var stages: [WorkPlan.Stage] {
        rows.isEmpty
            ? []
            : [
                WorkPlan.Stage(itemCount: rows.count) { item, worker in
                    let key = rows[item]
                    let encoder = encoders[key.encoder]
                    do throws(EncoderError) {
                        results[item] = .success(
                            try settings.recipe.encoders[key.encoder].encode(
                                tokens: key.row.tokens, endIndex: key.row.endIndex,
                                state: states[key.encoder],
                                wantsHidden: settings.recipe.hasHiddenStates, encoder: encoder,
                                workspace: worker.workspace(for: encoder.tower)))
                    } catch {
                        results[item] = .failure(WireFault(error))
                    }
                }
            ]
    }

    /// Every prompt's vectors, in order; after the stages have run.
    func finished() throws(WireFault) -> [FinishedPrompt] {
        for prompt in pending {
            let finished = try finish(prompt)
            slots[prompt.index] = finished
            cache.insert(
                finished,
                bytes: finished.conditioning.bytes + prompt.key.bytes
                    + prompt.programs.reduce(0) { $0 + 64 * $1.tokenCount },
                for: prompt.key)
        }
        var all: [FinishedPrompt] = []
        for slot in slots.all {
            guard let slot else { throw WireFault(.internal, "a prompt was not encoded") }
            all.append(slot)
        }
        return all
    }

    private func finish(_ prompt: Pending) throws(WireFault) -> FinishedPrompt {
        var parts: [PromptVectors] = []
        var empty: [[Float]] = []
        for (program, places) in zip(prompt.programs, prompt.rows) {
            var encoded: [EncodedRow] = []
            for place in places {
                guard let result = results[place] else {
                    throw WireFault(.internal, "a row of tokens was not run")
                }
                encoded.append(try result.get())
            }
            parts.append(program.combine(encoded))
            empty.append(program.empty(encoded))
        }
        let dropped = prompt.programs.max { $0.droppedTokens < $1.droppedTokens }
        do throws(GuidanceError) {
            return FinishedPrompt(
                conditioning: try settings.recipe.join(
                    parts, empty: empty, width: settings.hiddenWidth),
                report: .array(prompt.programs.map { .object($0.report) }),
                droppedTokens: dropped?.droppedTokens ?? 0,
                droppedText: dropped?.droppedText ?? "")
        } catch {
            throw WireFault(error)
        }
    }
}
