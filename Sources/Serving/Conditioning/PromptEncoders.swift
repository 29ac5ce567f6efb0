import Encoders
import Guidance
import IPC
import Prompts

/// A prompt's rows for every encoder, and what is to be said of them.
struct CompiledForEncoders: Sendable {
    let prompts: [EncoderPrompt]
    let notes: [String]
}

/// The text encoders of a recipe as one request uses them: with their compilers, and with the LoRAs
/// and textual inversions that may change them.
struct PromptEncoders: Sendable {
    struct Entry: Sendable {
        let recipe: EncoderRecipe
        let tower: LoadedModel.Tower
        let encoder: TextEncoder
        let compiler: PromptCompiler
        /// Which layer's states are wanted, by clip skip.
        let states: [ClipSkip: Int]
        let embeddings: [(name: String, serial: Int, vectors: TextualInversion.Vectors)]
    }

    let entries: [Entry]
    let settings: ConditioningSettings
    let fingerprint: String
    let adapters: Adapters.Snapshot
    let variants: EncoderVariants
    private let isOnly: Bool

    /// - Throws: `bad_request` naming the parameter at fault.
    init(
        _ model: LoadedModel, _ settings: ConditioningSettings, adapters: Adapters.Snapshot,
        variants: EncoderVariants
    ) throws(WireFault) {
        self.settings = settings
        self.adapters = adapters
        self.variants = variants
        fingerprint = model.fingerprint
        isOnly = model.towers.count { $0.encoder != nil } == 1
        let found: [(tower: LoadedModel.Tower, encoder: TextEncoder)]
        do throws(GuidanceError) {
            found = try model.encoders(for: settings.recipe)
        } catch {
            throw WireFault(error)
        }
        guard found.allSatisfy({ $0.encoder.tower.options.precision != .int8 }) else {
            throw .parameter(
                "precision", expected: "f32 or bf16 for conditioning", actual: "int8")
        }
        var entries: [Entry] = []
        for (index, recipe) in settings.recipe.encoders.enumerated() {
            let (tower, encoder) = found[index]
            let embeddings = adapters.vectors(
                role: tower.role, width: encoder.sizes.width)
            let usable = Set(embeddings.map(\.name))
            let compiler: PromptCompiler
            do throws(PromptError) {
                compiler = try PromptCompiler(
                    syntax: settings.syntax, tokenizer: encoder.tokenizer,
                    contextLength: encoder.sizes.contextLength,
                    padToken: recipe.padToken(encoder), longPrompts: settings.longPrompts,
                    embeddings: Dictionary(
                        uniqueKeysWithValues: embeddings.map { ($0.name, $0.vectors.count) }),
                    foreignNames: adapters.embeddings.keys.filter { !usable.contains($0) }.sorted(),
                    wantsPooled: recipe.pooled != nil)
            } catch {
                throw WireFault(error, field: "params.prompts")
            }
            entries.append(
                Entry(
                    recipe: recipe, tower: tower, encoder: encoder, compiler: compiler,
                    states: try PromptEncoders.states(recipe, tower.role, encoder, settings),
                    embeddings: embeddings))
        }
        self.entries = entries
    }

    /// The number of each clip skip's layer in an encoder.
    private static func states(
        _ recipe: EncoderRecipe, _ role: EncoderRole, _ encoder: TextEncoder,
        _ settings: ConditioningSettings
    ) throws(WireFault) -> [ClipSkip: Int] {
        var states: [ClipSkip: Int] = [:]
        for (field, skip) in [
            ("clip_skip", settings.clipSkip), ("negative_clip_skip", settings.negativeClipSkip),
        ] where states[skip] == nil {
            do throws(GuidanceError) {
                states[skip] = try recipe.stateIndex(encoder, clipSkip: skip.of(role))
            } catch {
                guard case .parameter(_, let expected, let actual) = error else {
                    throw WireFault(error)
                }
                let own = skip.own[role] == nil ? "" : "s.\(role.rawValue)"
                throw .parameter(field + own, expected: expected, actual: actual)
            }
        }
        return states
    }

    func key(_ placed: PlacedPrompt) -> ConditioningKey {
        ConditioningKey(
            fingerprint: fingerprint, precision: entries[0].encoder.tower.options.precision,
            named: adapters.serials(namedIn: [placed.prompt.text, placed.prompt.second ?? ""]),
            loras: placed.loras.map {
                ConditioningKey.LoRA(
                    serial: $0.entry.serial, strength: $0.strength, strengths: $0.strengths)
            }, recipe: settings.recipe.name, syntax: settings.syntax,
            emphasis: settings.emphasis, longPrompts: settings.longPrompts,
            clipSkip: placed.clipSkip, hiddenWidth: settings.hiddenWidth, steps: settings.steps,
            prompt: placed.prompt)
    }

    /// The LoRAs that change an encoder, of those that are in force.
    func changing(_ index: Int, _ loras: [UsedLoRA]) -> [UsedLoRA] {
        loras.filter { changes(index, $0.entry) }
    }

    /// Whether a LoRA is to change an encoder; whether it can shows when it is done.
    func changes(_ index: Int, _ lora: Adapters.Snapshot.LoRAEntry) -> Bool {
        let entry = entries[index]
        do throws(EncoderError) {
            return try lora.file.lora(
                for: entry.tower.role, width: entry.encoder.sizes.width, isOnly: isOnly)
                != nil
        } catch {
            return true
        }
    }

    /// Parts of an encoder that a LoRA is to change and that it does not have.
    func unused(_ index: Int, _ lora: Adapters.Snapshot.LoRAEntry) -> [String] {
        let entry = entries[index]
        let changes = try? lora.file.lora(
            for: entry.tower.role, width: entry.encoder.sizes.width, isOnly: isOnly)
        return changes?.unused(projection: entry.encoder.sizes.projection) ?? []
    }

    /// Positions of the encoder with the fewest.
    private var commonLength: Int {
        entries.map(\.encoder.sizes.contextLength).min() ?? 0
    }

    /// What is to be said when encoders of different lengths are joined; `nil` when they are equal.
    var lengthWarning: String? {
        guard settings.recipe.hasHiddenStates, entries.count > 1 else { return nil }
        let lengths = entries.map {
            ($0.tower.role.rawValue, $0.encoder.sizes.contextLength)
        }
        guard lengths.contains(where: { $0.1 != commonLength }) else { return nil }
        let found = lengths.map { "\($0.0) has \($0.1)" }.joined(separator: ", ")
        return
            "the text encoders have different numbers of positions (\(found)): hidden states are "
            + "cut to those of the shorter one"
    }

    /// One prompt's rows for every encoder, and what is to be said of them.
    ///
    /// All come to at least as many tokens as the shortest encoder has in the longest one's number of
    /// rows; the recipe's join cuts what is more.
    func compile(
        _ placed: PlacedPrompt
    ) throws(WireFault) -> CompiledForEncoders {
        var compiled: [CompiledPrompt] = []
        for (index, entry) in entries.enumerated() {
            let second = index == 1 ? placed.secondProgram : nil
            do throws(PromptError) {
                compiled.append(try entry.compiler.compile(second ?? placed.program))
            } catch {
                throw WireFault(error, field: second == nil ? placed.field : placed.secondField)
            }
        }
        let tokens = (compiled.map(\.rowCount).max() ?? 1) * commonLength
        var prompts: [EncoderPrompt] = []
        var notes = EmbeddingNotes()
        for (entry, result) in zip(entries, compiled) {
            let length = entry.encoder.sizes.contextLength
            notes.add(result.unusedNames, role: entry.tower.role, syntax: settings.syntax)
            let cut = settings.recipe.hasHiddenStates ? result.contentCount(beyond: tokens) : 0
            if cut > 0 {
                let what =
                    "\(cut) tokens of \(entry.tower.role.rawValue) lie beyond the \(tokens) "
                    + "positions that all encoders have"
                guard settings.longPrompts != .error else {
                    throw WireFault(.promptTooLong, what, field: placed.field)
                }
                notes.texts.append(what + ": cut off")
            }
            let rows = max(result.rowCount, (tokens + length - 1) / length)
            prompts.append(
                EncoderPrompt(compiled: result.padded(toRows: rows), contextLength: length))
        }
        return CompiledForEncoders(prompts: prompts, notes: notes.all)
    }

    /// The most that a prompt's finished vectors take: each stretch of steps has its own.
    func vectorBytes(_ prompts: [EncoderPrompt], _ text: PromptText) -> Int {
        guard settings.recipe.hasHiddenStates else { return 0 }
        let width =
            settings.hiddenWidth ?? settings.recipe.hiddenWidth
            ?? entries.reduce(0) { $0 + $1.encoder.sizes.width }
        let parts = prompts.map { prompt in
            prompt.compiled.segments.reduce(0) { $0 + $1.parts.count }
        }
        // Texts of their own may change at other steps.
        let count = text.second == nil ? parts.max() ?? 0 : parts.reduce(0, +)
        let tokens = prompts.map { $0.compiled.rowCount * $0.contextLength }.max() ?? 0
        return count * tokens * width * MemoryLayout<Float>.stride
    }

    /// Under which an empty prompt's row is kept.
    func emptyRowKey(
        _ index: Int, loras: [EncoderVariants.Key.LoRA], row: TokenRow, state: Int
    ) -> EncoderVariants.EmptyRowKey {
        EncoderVariants.EmptyRowKey(
            fingerprint: entries[index].tower.model.fingerprint,
            precision: entries[index].encoder.tower.options.precision, loras: loras, row: row,
            state: state, recipe: settings.recipe.name)
    }

    /// Memory that making an encoder's weights takes: as they are read, changed and packed. 0 where
    /// nothing is to be made.
    func variantBytes(_ index: Int, loras: [UsedLoRA], hasEmbeddings: Bool) -> Int {
        let entry = entries[index]
        if loras.isEmpty, !hasEmbeddings || entry.embeddings.isEmpty { return 0 }
        let tower = entry.encoder.tower
        return (tower.options.precision == .f32 ? 3 : 5) * tower.bytes
    }

    /// The weights that rows are run with.
    func variant(
        _ index: Int, loras: [UsedLoRA], hasEmbeddings: Bool
    ) throws(WireFault) -> EncoderVariants.Variant {
        let entry = entries[index]
        do throws(EncoderError) {
            return try variants.variant(
                of: entry.tower, encoder: entry.encoder, loras: loras, isOnly: isOnly,
                embeddings: hasEmbeddings ? entry.embeddings : [])
        } catch {
            // The checkpoint's file was written to: the daemon's trouble.
            if case .file = error { throw WireFault(error) }
            // A LoRA that does not fit the model is the request's mistake, not the daemon's.
            throw WireFault(.badRequest, error.description, field: "params.loras")
        }
    }
}
