package import ArgumentParser
package import Guidance
import IPC
import JSON
package import Prompts
import Serving

package struct ConditionCommand: SessionCommand {
    package static let configuration = CommandConfiguration(
        commandName: "condition",
        abstract: "Make the vectors that a sampler is conditioned on, and account for every token.",
        usage: """
            guidanced condition [PROMPT...] [--prompt P]... [--negative N]... [--recipe R] [--syntax S] \
            [--out FILE.npz|FILE.safetensors] [options]
            """,
        discussion: """
            Recipes: \(ConditioningRecipe.names.joined(separator: ", ")); without --recipe the \
            model's first. The file gets one FP32 array an output: hidden_states, pooled, \
            negative_hidden_states, negative_pooled, time_ids, negative_time_ids, as far as the \
            recipe has them. The table shows what became of the prompts: rows of tokens, where \
            the end token is, weights other than 1, dropped text; json has all of it.

            Example:
              guidanced condition "a (red:1.3) circle" --syntax a1111 --model sd_xl_base.safetensors \
            --recipe sdxl --out red.npz
            """)

    @Argument(help: ArgumentHelp("The prompts.", valueName: "prompts"))
    package var arguments: [String] = []

    @Option(name: .shortAndLong, help: "A further prompt; may be repeated.")
    package var prompt: [String] = []

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp(
            "A negative prompt; one for all prompts, or one for each.", valueName: "prompt"))
    package var negative: [String] = []

    @Option(help: ArgumentHelp("What the recipe's second encoder reads.", valueName: "prompt"))
    package var prompt2: [String] = []

    @Option(help: ArgumentHelp("The same for negative prompts.", valueName: "prompt"))
    package var negative2: [String] = []

    @Option(help: ArgumentHelp("The family of samplers.", valueName: "name"))
    package var recipe: String?

    @Option(help: "The language of the prompts.")
    package var syntax: PromptSyntax = .plain

    @Option(
        help: ArgumentHelp(
            "A prompt with more tokens than one row has room for: an error, cut with a warning, or "
                + "continued in further rows."))
    package var longPrompts: LongPromptPolicy = .error

    @Option(
        help: ArgumentHelp("What stands for an absent negative prompt (default: the recipe's)."))
    package var negativePolicy: NegativePolicy?

    @Option(help: ArgumentHelp("Layers to leave out, in diffusers' meaning.", valueName: "n"))
    package var clipSkip: Int?

    @Option(
        help: ArgumentHelp(
            "The same for negative prompts (default: as --clip-skip).", valueName: "n"))
    package var negativeClipSkip: Int?

    @Option(
        help: ArgumentHelp(
            "What becomes of weights: the language's own way, without restoring the mean, 1, or their "
                + "syntax is text."))
    package var emphasis: Emphasis = .original

    @Flag(help: "Fail when a prompt names a LoRA in vain.")
    package var strictLoras = false

    @Option(help: ArgumentHelp("The sampler's steps, for scheduled prompts.", valueName: "n"))
    package var steps: Int?

    @Option(help: ArgumentHelp("The picture's width, pixels, for time_ids.", valueName: "n"))
    package var width: Int?

    @Option(help: ArgumentHelp("The picture's height, pixels, for time_ids.", valueName: "n"))
    package var height: Int?

    @Option(
        help: ArgumentHelp(
            "A loaded LoRA and its strength; may be repeated.", valueName: "name=strength"))
    package var lora: [String] = []

    @Option(
        help: ArgumentHelp(
            "Without --connect: a LoRA's file under a name, for --lora; may be repeated.",
            valueName: "name=file"), completion: .file())
    package var loadLora: [String] = []

    @Option(
        help: ArgumentHelp(
            "Without --connect: a textual inversion's file under the name that prompts use; may be "
                + "repeated.", valueName: "name=file"), completion: .file())
    package var loadEmbedding: [String] = []

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("A .npz or .safetensors file for the vectors.", valueName: "file"),
        completion: .file(extensions: ["npz", "safetensors"]))
    package var out: String?

    @Option(help: "How to print the accounting.")
    package var format: DocumentFormat = .table

    @OptionGroup package var connection: ConnectionOptions

    package init() {}

    /// The arguments, and then those of `--prompt`.
    package var prompts: [String] { arguments + prompt }

    package func validate() throws {
        if prompts.isEmpty { throw ValidationError("Expected at least one prompt.") }
        if let out, TensorArchive(path: out) == nil {
            throw ValidationError(
                "--out: expected a file named *.npz or *.safetensors, found "
                    + "\(SettingRules.quoted(out)).")
        }
        for text in lora { _ = try ConditionCommand.lora(text) }
        if connection.connect != nil, !loadLora.isEmpty || !loadEmbedding.isEmpty {
            throw ValidationError(
                "--load-lora and --load-embedding are of no use with --connect: the daemon has its "
                    + "own.")
        }
        _ = try adapters()
    }

    /// The files to load first.
    private func adapters() throws -> [Adapters.Source] {
        try loadLora.map { try AdapterArgument.parse($0, .lora) }
            + loadEmbedding.map { try AdapterArgument.parse($0, .embedding) }
    }

    package func prepare() throws { if let out { try OutputFile(out).checkWritable() } }

    package func open(_ console: Console) throws -> any Session { try connection.open(console) }

    package func execute(_ session: any Session, _ console: Console) throws -> CommandStatus {
        for source in try adapters() {
            _ = try session.call(
                op: "load", model: nil,
                params: [
                    "kind": .string(source.kind.rawValue), "name": .string(source.name),
                    "path": .string(source.path),
                ], inputs: [])
        }
        let params = try self.params()
        let reply = try Progress.track("condition", console: console) { _ in
            try session.call(
                op: "condition", model: connection.requestModel, params: params, inputs: [])
        }
        for warning in reply.warnings { console.warn(warning) }
        if let out, let archive = TensorArchive(path: out) {
            try OutputFile(out).write(
                archive.encode(try reply.arrays()), isBinary: true, console: console)
        }
        switch format {
        case .json:
            var document = reply.result
            document["outputs"] = .array(
                reply.outputs.map {
                    [
                        "name": .string($0.header.name),
                        "shape": .array($0.header.shape.map { .integer($0) }),
                    ]
                })
            try console.print(JSONValue.object(document).document())
        case .table:
            try console.print(try ConditionCommand.table(reply, prompts, negative))
        }
        return .success
    }

    /// The request's parameters; what was not stated is left to the daemon.
    private func params() throws -> JSONObject {
        var params: JSONObject = [
            "prompts": .array(prompts.map { .string($0) }), "syntax": .string(syntax.rawValue),
            "long_prompts": .string(longPrompts.rawValue),
        ]
        for (name, texts) in [
            ("negative_prompts", negative), ("prompts_2", prompt2),
            ("negative_prompts_2", negative2),
        ] where !texts.isEmpty {
            params[name] = .array(texts.map { .string($0) })
        }
        for (name, number) in [
            ("clip_skip", clipSkip), ("negative_clip_skip", negativeClipSkip), ("steps", steps),
            ("width", width), ("height", height),
        ] {
            params[name] = number.map { .integer($0) }
        }
        if emphasis != .original { params["emphasis"] = .string(emphasis.rawValue) }
        if strictLoras { params["strict_loras"] = true }
        params["recipe"] = recipe.map { .string($0) }
        params["negative_policy"] = negativePolicy.map { .string($0.rawValue) }
        if !lora.isEmpty {
            params["loras"] = .array(
                try lora.map { text in
                    let (name, strength) = try ConditionCommand.lora(text)
                    return ["name": .string(name), "strength": .number(strength)]
                })
        }
        return params
    }

    /// `NAME`, or `NAME=STRENGTH`.
    private static func lora(_ text: String) throws -> (name: String, strength: Double) {
        guard let sign = text.lastIndex(of: "=") else { return (text, 1) }
        guard let strength = Double(text[text.index(after: sign)...]), strength.isFinite,
            sign > text.startIndex
        else {
            throw ValidationError(
                "--lora: expected NAME=STRENGTH, found \(SettingRules.quoted(text)).")
        }
        return (String(text[..<sign]), strength)
    }

    /// One line a row of tokens, then the outputs' shapes.
    private static func table(
        _ reply: Reply, _ prompts: [String], _ negative: [String]
    ) throws(ReplyError) -> String {
        var table = Table([
            Table.Column("prompt"), Table.Column("encoder"), Table.Column("row", .right),
            Table.Column("content", .right), Table.Column("end", .right),
            Table.Column("weights other than 1", .right), Table.Column("dropped", .right),
        ])
        let roles = (reply.result["encoders"]?.arrayValue ?? []).map {
            $0["role"]?.stringValue ?? ""
        }
        for (key, texts) in [("prompts", prompts), ("negative_prompts", negative)] {
            for (index, prompt) in (reply.result[key]?.arrayValue ?? []).enumerated() {
                guard let encoders = prompt["encoders"]?.arrayValue else {
                    throw ReplyError("it has no accounting of prompt \(index + 1)")
                }
                let text = texts.isEmpty ? "" : texts[min(index, texts.count - 1)]
                let shown = text.count > 40 ? text.prefix(39) + "…" : text[...]
                for (number, encoder) in encoders.enumerated() {
                    let role = roles.indices.contains(number) ? roles[number] : ""
                    for text in encoder["texts"]?.arrayValue ?? [] {
                        append(
                            text, [(key == "prompts" ? "" : "− ") + shown, role], to: &table)
                    }
                }
            }
        }
        let shapes = reply.outputs.map { output in
            let shape = output.header.shape.map(String.init).joined(separator: " × ")
            return "\(output.header.name): \(shape)\n"
        }
        return table.text() + "\n" + shapes.joined()
    }

    /// One line a row of one text.
    private static func append(_ text: JSONValue, _ head: [String], to table: inout Table) {
        for (place, row) in (text["rows"]?.arrayValue ?? []).enumerated() {
            let weights = row["weights"]?.arrayValue ?? []
            table.append(
                head + [
                    "\(place + 1)", "\(row["content"]?.intValue ?? 0)",
                    "\(row["end_index"]?.intValue ?? 0)",
                    "\(weights.count { $0.doubleValue != 1 })",
                    "\(text["dropped"]?["tokens"]?.intValue ?? 0)",
                ])
        }
    }
}
