import Encoders
import Guidance
import IPC

/// The text encoders of a recipe as one request uses them: with their compilers, and with the LoRAs
/// and textual inversions that may change them.
struct PromptEncoders: Sendable {
    struct Entry: Sendable {
        let recipe: EncoderRecipe
        let tower: LoadedModel.Tower
        let encoder: TextEncoder
        let compiler: PromptCompiler
        /// Which layer's states are wanted.
        let state: Int
        let embeddings: [(name: String, serial: Int, vectors: TextualInversion.Vectors)]
    }

    let entries: [Entry]
    let settings: ConditioningSettings
    /// Of every request's prompts; a compel prompt may name more.
    let loras: [UsedLoRA]
    let fingerprint: String
    let adapters: Adapters.Snapshot
    let variants: EncoderVariants
    private let isOnly: Bool

    /// - Throws: `bad_request` naming the parameter at fault.
    init(
        _ model: LoadedModel, _ settings: ConditioningSettings, loras: [UsedLoRA],
        adapters: Adapters.Snapshot, variants: EncoderVariants
    ) throws(WireFault) {
        self.settings = settings
        self.loras = loras
        self.adapters = adapters
        self.variants = variants
        fingerprint = model.fingerprint
        isOnly = model.towers.count { $0.encoder != nil } == 1
        let found: [(tower: LoadedModel.Tower, encoder: TextEncoder)]
        var states: [Int] = []
        do throws(GuidanceError) {
            found = try model.encoders(for: settings.recipe)
            for (recipe, entry) in zip(settings.recipe.encoders, found) {
                states.append(try recipe.stateIndex(entry.encoder, clipSkip: settings.clipSkip))
            }
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
            do throws(PromptError) {
                let compiler = try PromptCompiler(
                    syntax: settings.syntax, tokenizer: encoder.tokenizer,
                    contextLength: encoder.sizes.contextLength,
                    padToken: recipe.padToken(encoder), longPrompts: settings.longPrompts,
                    embeddings: Dictionary(
                        uniqueKeysWithValues: embeddings.map { ($0.name, $0.vectors.count) }),
                    wantsPooled: recipe.pooled != nil)
                entries.append(
                    Entry(
                        recipe: recipe, tower: tower, encoder: encoder, compiler: compiler,
                        state: states[index], embeddings: embeddings))
            } catch {
                throw WireFault(error, field: "params.prompts")
            }
        }
        self.entries = entries
    }

    func key(_ prompt: PromptText) -> ConditioningKey {
        ConditioningKey(
            fingerprint: fingerprint, precision: entries[0].encoder.tower.options.precision,
            named: adapters.serials(namedIn: [prompt.text, prompt.second ?? ""]),
            loras: loras.map {
                ConditioningKey.LoRA(serial: $0.entry.serial, strength: $0.strength)
            }, recipe: settings.recipe.name, syntax: settings.syntax,
            longPrompts: settings.longPrompts, clipSkip: settings.clipSkip,
            hiddenWidth: settings.hiddenWidth, steps: settings.steps, prompt: prompt)
    }

    /// One prompt's rows for every encoder, all of one length, and the LoRAs that it asks for beside
    /// the request's.
    func compile(
        _ placed: PlacedPrompt
    ) throws(WireFault) -> (prompts: [EncoderPrompt], loras: [UsedLoRA]) {
        var compiled: [CompiledPrompt] = []
        var used = loras
        for (index, entry) in entries.enumerated() {
            let isSecond = index == 1 && placed.prompt.second != nil
            let text = isSecond ? placed.prompt.second ?? "" : placed.prompt.text
            let field = isSecond ? placed.secondField : placed.field
            let result: CompiledPrompt
            do throws(PromptError) {
                result = try entry.compiler.compile(
                    text, steps: settings.steps, isNegative: placed.prompt.isNegative)
            } catch {
                throw WireFault(error, field: field)
            }
            if index == 0 || isSecond {
                for asked in result.loras {
                    guard let lora = adapters.loras[asked.name] else {
                        throw WireFault(
                            .badRequest,
                            "prompt syntax at character \(asked.offset): expected the name of a "
                                + "loaded LoRA, found \"\(asked.name.prefix(100))\"",
                            field: field)
                    }
                    used.append(UsedLoRA(entry: lora, strength: asked.weight))
                }
            }
            compiled.append(result)
        }
        let rows = compiled.map(\.rowCount).max() ?? 1
        return (
            zip(entries, compiled).map { entry, result in
                EncoderPrompt(
                    compiled: result.padded(toRows: rows),
                    contextLength: entry.encoder.sizes.contextLength)
            }, used
        )
    }

    /// Under which an empty prompt's row is kept.
    func emptyRowKey(
        _ index: Int, loras: [EncoderVariants.Key.LoRA], row: TokenRow
    ) -> EncoderVariants.EmptyRowKey {
        EncoderVariants.EmptyRowKey(
            fingerprint: entries[index].tower.model.fingerprint,
            precision: entries[index].encoder.tower.options.precision, loras: loras, row: row,
            state: entries[index].state, recipe: settings.recipe.name)
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
            // A LoRA that does not fit the model is the request's mistake, not the daemon's.
            throw WireFault(.badRequest, error.description, field: "params.loras")
        }
    }
}
