package import Encoders
package import Serving

/// Every setting of `guidanced serve`.
package enum SettingTable {
    package static let bind = Setting<String>(
        SettingDeclaration(
            "bind", form: .list, placeholder: "ENDPOINT",
            fallback:
                "`ipc://$XDG_RUNTIME_DIR/guidanced.sock`, else `ipc:///tmp/guidanced-UID.sock`",
            help: "An endpoint to listen at, ipc://PATH or tcp://127.0.0.1:PORT.")
    ) { entry, origin throws(ConfigurationError) in
        try SettingRules.checkEndpoint(entry.text, entry.field, origin)
    }

    package static let control = Setting<String>(
        SettingDeclaration(
            "control", form: .text, placeholder: "ENDPOINT",
            fallback: "the first socket's path with `.control` appended",
            help: "The control endpoint, which answers while the others are saturated.")
    ) { entry, origin throws(ConfigurationError) in
        try SettingRules.checkEndpoint(entry.text, entry.field, origin)
    }

    package static let models = Setting<ModelRegistry.Source>(
        SettingDeclaration(
            "models", flag: "model", form: .named, placeholder: "PATH",
            fallback: "the built-in model, as `default`",
            help: "A model to serve: a checkpoint, or embedded:default, under a name.")
    ) { entry, origin throws(ConfigurationError) in
        ModelRegistry.Source(
            name: try SettingRules.checkModelName(entry.name ?? "", entry.field, origin),
            path: entry.text)
    }

    package static let defaultModel = Setting<String>(
        SettingDeclaration(
            "default_model", form: .text, placeholder: "NAME", fallback: "the first",
            help: "The model of requests that name none.")
    ) { entry, _ in entry.text }

    package static let loras = Setting<Adapters.Source>(
        SettingDeclaration(
            "loras", flag: "lora", form: .named, placeholder: "FILE", fallback: "none",
            help: "A LoRA for text encoders, which requests use by name.")
    ) { entry, origin throws(ConfigurationError) in try adapter(entry, .lora, origin) }

    package static let embeddings = Setting<Adapters.Source>(
        SettingDeclaration(
            "embeddings", flag: "embedding", form: .named, placeholder: "FILE", fallback: "none",
            help: "A textual inversion, which prompts use by name.")
    ) { entry, origin throws(ConfigurationError) in try adapter(entry, .embedding, origin) }

    package static let precision = Setting<StatedPrecisions>(
        SettingDeclaration(
            "precision", form: .perModel, placeholder: "PRECISIONS", fallback: "`f32`",
            help: "The precisions of the weights: f32, bf16, int8 (scores only), auto, or several "
                + "with commas, of which the first serves requests that name none.")
    ) { entry, origin throws(ConfigurationError) in
        try SettingRules.precisions(
            entry.text, model: try model(entry, origin), entry.field, origin)
    }

    package static let imageProfile = Setting<StatedProfile>(
        SettingDeclaration(
            "image_profile", form: .perModel, placeholder: "PROFILE",
            fallback: "as the checkpoint says",
            help:
                "Whose pixels images come to: transformers-pil, transformers-torchvision, open_clip "
                + "or comfy.")
    ) { entry, origin throws(ConfigurationError) in
        try SettingRules.imageProfile(
            entry.text, model: try model(entry, origin), entry.field, origin)
    }

    package static let backend = Setting<ComputeBackend>(
        SettingDeclaration(
            "backend", form: .text, placeholder: "BACKEND", fallback: "`packed`",
            help: "What multiplies: packed (our kernels) or openblas (f32 only).")
    ) { entry, origin throws(ConfigurationError) in
        try SettingRules.checkBackend(entry.text, origin)
    }

    package static let gradients = Setting<GradientWeights>(
        SettingDeclaration(
            "gradients", form: .text, placeholder: "WHEN", fallback: "`lazy`",
            help: "When the transposed weights are made that gradients need, as large as the image "
                + "towers: eager (at the start), lazy (when first wanted), off (no gradients).")
    ) { entry, origin throws(ConfigurationError) in
        try SettingRules.checkGradients(entry.text, origin)
    }

    package static let instructions = Setting<InstructionSet>(
        SettingDeclaration(
            "instructions", form: .text, placeholder: "SET", fallback: "the best",
            help: "Vector instructions: portable, avx2, avx512, avx512-dot.")
    ) { entry, origin throws(ConfigurationError) in
        try SettingRules.checkInstructions(entry.text, origin)
    }

    package static let threads = integer(
        SettingDeclaration(
            "threads", form: .number, placeholder: "N", fallback: "one for each available core",
            help: "Compute threads."), SettingRules.threads)

    package static let batchWait = integer(
        SettingDeclaration(
            "batch_wait", form: .number, placeholder: "MICROSECONDS", fallback: "0",
            help:
                "How long items of one request wait for those of others to share a group with; what "
                + "is there shares it in any case."), SettingRules.batchWait)

    package static let requests = integer(
        SettingDeclaration(
            "requests", in: "limits", form: .number, placeholder: "N",
            fallback: "\(Scheduler.Limits().requests)",
            help: "Requests that may wait for compute; beyond them the answer is overloaded."),
        SettingRules.queuedRequests)

    package static let queuedBytes = integer(
        SettingDeclaration(
            "queued_bytes", in: "limits", form: .number, placeholder: "BYTES",
            fallback: "\(Scheduler.Limits().bytes)", help: "Bytes of their frames."),
        SettingRules.queuedBytes)

    package static let activationBytes = integer(
        SettingDeclaration(
            "activation_bytes", in: "limits", formerly: ["activation-budget"], form: .number,
            placeholder: "BYTES", fallback: "\(Engine.defaultActivationBudget)",
            help:
                "Memory for the activations that gradients keep, over all threads; beyond it they "
                + "are recomputed."), SettingRules.activationBudget)

    package static let conditioningCacheBytes = integer(
        SettingDeclaration(
            "conditioning_cache_bytes", in: "limits", form: .number, placeholder: "BYTES",
            fallback: "\(Engine.defaultConditioningCacheBytes)",
            help: "Finished prompts that are kept for condition; 0 keeps none."),
        SettingRules.cacheBytes)

    package static let encoderVariantBytes = integer(
        SettingDeclaration(
            "encoder_variant_bytes", in: "limits", form: .number, placeholder: "BYTES",
            fallback: "\(Engine.defaultVariantBytes)",
            help: "Text encoders with changed weights that are kept; 0 keeps none."),
        SettingRules.cacheBytes)

    /// In the order of help and documentation.
    package static let all: [any AnySetting] = [
        bind, control, models, defaultModel, loras, embeddings, precision, imageProfile, backend,
        gradients, instructions, threads, batchWait, requests, queuedBytes, activationBytes,
        conditioningCacheBytes, encoderVariantBytes,
    ]

    private static func integer(
        _ declaration: SettingDeclaration, _ range: ClosedRange<Int>
    ) -> Setting<Int> {
        Setting(declaration) { entry, origin throws(ConfigurationError) in
            guard let value = Int(entry.text) else {
                throw ConfigurationError(
                    origin, entry.field, expected: "an integer",
                    actual: SettingRules.quoted(entry.text))
            }
            return try SettingRules.checkRange(value, range, entry.field, origin)
        }
    }

    private static func adapter(
        _ entry: SettingStatement.Entry, _ kind: Adapters.Kind, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> Adapters.Source {
        Adapters.Source(
            kind: kind,
            name: try SettingRules.checkAdapterName(entry.name ?? "", entry.field, origin),
            path: entry.text)
    }

    private static func model(
        _ entry: SettingStatement.Entry, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> String? {
        guard let name = entry.name else { return nil }
        return try SettingRules.checkModelName(name, entry.field, origin)
    }
}

extension SettingTable {
    /// The flags on one line of usage.
    package static var usage: String {
        all.map { "[\($0.declaration.usage)]" }.joined(separator: " ")
    }

    /// The table in docs/command-line.md.
    package static var documentation: String {
        var lines = [
            "| flag | key | environment | default | |", "|---|---|---|---|---|",
        ]
        for setting in all.map(\.declaration) {
            lines.append(
                "| `\(setting.usage)` | `\(setting.field)` | `\(setting.environmentName)` "
                    + "| \(setting.fallback) | \(setting.help) |")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
