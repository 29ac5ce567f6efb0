package import ArgumentParser
import Encoders
import Glibc
import Logging

package struct ServeCommand: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Run the daemon.",
        usage: """
            guidanced serve [--bind ENDPOINT]... [--control ENDPOINT] [--model NAME=PATH]... \
            [--default-model NAME] [--lora NAME=FILE]... [--embedding NAME=FILE]... \
            [--precision [NAME=]PRECISIONS]... [--image-profile [NAME=]PROFILE]... \
            [--backend BACKEND] [--activation-budget BYTES] [--threads N] [--config FILE] [--log-level LEVEL]
            """,
        discussion: """
            Listens at ipc://$XDG_RUNTIME_DIR/guidanced.sock, or where that is unset at \
            ipc:///tmp/guidanced-UID.sock, and serves the built-in model unless told otherwise. \
            The control endpoint answers while the others are saturated; by default it is the \
            socket's path with .control appended. SIGTERM and SIGINT finish accepted work and \
            stop; a second SIGINT stops at once. --config reads a JSON file with the flags' names \
            as keys (docs/command-line.md); flags win over the file.

            Example:
              guidanced serve --bind ipc:///run/g.sock --model b32=checkpoints/vit-b-32
            """)

    @Option(
        help: ArgumentHelp(
            "An endpoint to listen at, ipc://PATH or tcp://127.0.0.1:PORT; may be repeated.",
            valueName: "endpoint"))
    package var bind: [String] = []

    @Option(help: ArgumentHelp("The control endpoint.", valueName: "endpoint"))
    package var control: String?

    @Option(
        help: ArgumentHelp(
            "A model to serve: the directory of a checkpoint, or embedded:default, under a name; "
                + "may be repeated.", valueName: "name=path"), completion: .directory)
    package var model: [String] = []

    @Option(
        help: ArgumentHelp(
            "The model of requests that name none (default: the first).", valueName: "name"))
    package var defaultModel: String?

    @Option(
        help: ArgumentHelp(
            "A LoRA for text encoders, which requests use by name; may be repeated.",
            valueName: "name=file"), completion: .file())
    package var lora: [String] = []

    @Option(
        help: ArgumentHelp(
            "A textual inversion, which prompts use by name; may be repeated.",
            valueName: "name=file"), completion: .file())
    package var embedding: [String] = []

    @Option(
        help: ArgumentHelp(
            "The precisions of the weights: f32 (the default), bf16, int8 (scores only), auto, or "
                + "several with commas, of which the first serves requests that name none; of all "
                + "models or of the named one; may be repeated.",
            valueName: "[name=]precisions"))
    package var precision: [String] = []

    @Option(
        help: ArgumentHelp(
            "Whose pixels images come to: transformers-pil, transformers-torchvision, open_clip or "
                + "comfy (default: as the checkpoint says), of all models or of the named one; may be "
                + "repeated.", valueName: "[name=]profile"))
    package var imageProfile: [String] = []

    @Option(
        help: ArgumentHelp(
            "What multiplies: packed (our kernels, the default) or openblas (f32 only).",
            valueName: "backend"))
    package var backend: String?

    @Option(
        help: ArgumentHelp(
            "Vector instructions: portable, avx2, avx512, avx512-dot (default: the best).",
            valueName: "set"))
    package var instructions: String?

    @Option(
        help: ArgumentHelp(
            "Memory for the activations that gradients keep, over all threads; beyond it they are "
                + "recomputed (default: 1073741824).", valueName: "bytes"))
    package var activationBudget: Int?

    @Option(
        help: ArgumentHelp(
            "Compute threads (default: one for each available core).", valueName: "n"))
    package var threads: Int?

    @Option(
        help: ArgumentHelp("A configuration file.", valueName: "file"),
        completion: .file(extensions: ["json"]))
    package var config: String?

    @Option(help: "The least severe lines that the log on standard error shows.")
    package var logLevel: LogThreshold = .info

    package init() {}

    /// The severities that a log can begin with.
    package enum LogThreshold: String, CaseIterable, Sendable, ExpressibleByArgument {
        case debug, info, warning, error

        fileprivate var level: Logger.Level {
            switch self {
            case .debug: .debug
            case .info: .info
            case .warning: .warning
            case .error: .error
            }
        }
    }

    /// What the flags say.
    ///
    /// - Throws: `ConfigurationError` for a value that cannot be used.
    package func flags() throws(ConfigurationError) -> ServeSettings {
        var settings = ServeSettings()
        if !bind.isEmpty {
            for endpoint in bind {
                _ = try SettingRules.checkEndpoint(endpoint, "bind", .flags)
            }
            settings.bind = Stated(bind, .flags)
        }
        if let control {
            settings.control = Stated(
                try SettingRules.checkEndpoint(control, "control", .flags), .flags)
        }
        if !model.isEmpty {
            var sources: [ModelRegistry.Source] = []
            for text in model {
                guard let source = try? ModelArgument.named(text) else {
                    throw ConfigurationError(
                        .flags, "model", expected: "NAME=PATH", actual: SettingRules.quoted(text))
                }
                sources.append(source)
            }
            settings.models = Stated(sources, .flags)
        }
        if !lora.isEmpty {
            settings.loras = Stated(try ServeCommand.adapters(lora, .lora), .flags)
        }
        if !embedding.isEmpty {
            settings.embeddings = Stated(
                try ServeCommand.adapters(embedding, .embedding), .flags)
        }
        if let defaultModel { settings.defaultModel = Stated(defaultModel, .flags) }
        if !precision.isEmpty {
            var stated: [StatedPrecisions] = []
            for text in precision {
                stated.append(try SettingRules.namedPrecisions(text, .flags))
            }
            settings.precisions = Stated(stated, .flags)
        }
        if !imageProfile.isEmpty {
            var stated: [StatedProfile] = []
            for text in imageProfile {
                stated.append(try SettingRules.namedProfile(text, .flags))
            }
            settings.imageProfiles = Stated(stated, .flags)
        }
        if let backend {
            settings.backend = Stated(try SettingRules.checkBackend(backend, .flags), .flags)
        }
        if let instructions {
            settings.instructions = Stated(
                try SettingRules.checkInstructions(instructions, .flags), .flags)
        }
        if let activationBudget {
            settings.activationBudget = Stated(
                try SettingRules.checkRange(
                    activationBudget, SettingRules.activationBudget, "activation-budget", .flags),
                .flags)
        }
        if let threads {
            settings.threads = Stated(
                try SettingRules.checkRange(threads, SettingRules.threads, "threads", .flags),
                .flags)
        }
        return settings
    }

    private static func adapters(
        _ texts: [String], _ kind: Adapters.Kind
    ) throws(ConfigurationError) -> [Adapters.Source] {
        var sources: [Adapters.Source] = []
        for text in texts { sources.append(try AdapterArgument.parse(text, kind)) }
        return sources
    }

    /// Flags over file over defaults.
    package func resolved() throws -> ServeConfiguration {
        var settings = try flags()
        if let config {
            let bytes = try InputFile.read(config, limit: ServeSettings.longestFile)
            settings = settings.merged(over: try ServeSettings.parse(bytes, path: config))
        }
        return try ServeConfiguration(
            resolving: settings, environment: .current,
            availableThreads: AvailableThreads.current)
    }

    package func run() throws {
        try CommandRunner.run { _ in
            let configuration = try resolved()
            var log = Logger(label: "guidanced") { label in
                StreamLogHandler.standardError(label: label)
            }
            log.logLevel = logLevel.level
            try configuration.instructions?.choose()
            try Service(configuration, log: log).run()
            return .success
        }
    }
}
