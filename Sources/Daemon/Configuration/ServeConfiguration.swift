package import Encoders

/// Everything that `guidanced serve` needs to know, after flags, file and defaults were merged.
package struct ServeConfiguration: Sendable {
    /// Where requests come in, at least one.
    package var endpoints: [String]
    /// Where requests come in that are answered under load.
    package var controlEndpoints: [String]
    /// At least one, under distinct names.
    package var models: [ModelRegistry.Source]
    /// The model of requests that name none; `nil` for the first.
    package var defaultModel: String?
    /// Compute threads, at least one.
    package var threads: Int
    package var limits: Scheduler.Limits
    /// Textual inversions and LoRAs, each kind's names once.
    package var adapters: [Adapters.Source] = []
    /// Memory for finished prompts, and for text encoders with changed weights.
    package var conditioningCacheBytes = Engine.defaultConditioningCacheBytes
    package var encoderVariantBytes = Engine.defaultVariantBytes
    /// Bytes that all threads' kept activations may take together.
    package var activationBudget = Engine.defaultActivationBudget
    /// The vector instructions to use; `nil` for the best.
    package var instructions: InstructionSet?

    package init(
        endpoints: [String], controlEndpoints: [String],
        models: [ModelRegistry.Source] = [.embedded], defaultModel: String? = nil, threads: Int,
        limits: Scheduler.Limits = Scheduler.Limits()
    ) {
        self.endpoints = endpoints
        self.controlEndpoints = controlEndpoints
        self.models = models
        self.defaultModel = defaultModel
        self.threads = threads
        self.limits = limits
    }
}

extension ServeConfiguration {
    /// Resolves stated settings: what they leave open gets its default, and what contradicts
    /// itself is refused.
    ///
    /// - Parameters:
    ///   - settings: flags over file, see `ServeSettings.merged(over:)`.
    ///   - environment: where the default endpoint goes.
    ///   - availableThreads: how many threads when none were asked for.
    package init(
        resolving settings: ServeSettings, environment: EndpointDefaults, availableThreads: Int
    ) throws(ConfigurationError) {
        let endpoints = settings.bind?.value ?? [environment.endpoint]
        guard PathText.firstEscape(in: environment.endpoint) == nil else {
            throw ConfigurationError(
                .defaults, "XDG_RUNTIME_DIR", expected: "a path in UTF-8",
                actual: SettingRules.quoted(PathText.readable(environment.endpoint)))
        }
        for (index, endpoint) in endpoints.enumerated()
        where endpoints[..<index].contains(endpoint) {
            throw ConfigurationError(
                settings.bind?.origin ?? .defaults, "bind", expected: "each endpoint once",
                actual: "two \(endpoint)")
        }
        let control = settings.control?.value ?? environment.control(for: endpoints)
        if endpoints.contains(control) {
            throw ConfigurationError(
                settings.control?.origin ?? .defaults, "control",
                expected: "an endpoint of its own", actual: "\(control), which is also bound")
        }
        let models = settings.models?.value ?? [.embedded]
        for (index, model) in models.enumerated()
        where models[..<index].contains(where: { $0.name == model.name }) {
            throw ConfigurationError(
                settings.models?.origin ?? .defaults, "model", expected: "each name once",
                actual: "two \(model.name)")
        }
        if let wanted = settings.defaultModel,
            !models.contains(where: { $0.name == wanted.value })
        {
            throw ConfigurationError(
                wanted.origin, "default_model",
                expected: "one of \(models.map(\.name).joined(separator: ", "))",
                actual: wanted.value)
        }
        var limits = Scheduler.Limits()
        if let requests = settings.queuedRequests { limits.requests = requests.value }
        if let bytes = settings.queuedBytes { limits.bytes = bytes.value }
        self.init(
            endpoints: endpoints, controlEndpoints: [control], models: models,
            defaultModel: settings.defaultModel?.value,
            threads: settings.threads?.value ?? max(availableThreads, 1), limits: limits)
        for (stated, field) in [(settings.loras, "lora"), (settings.embeddings, "embedding")] {
            guard let stated else { continue }
            for (index, source) in stated.value.enumerated()
            where stated.value[..<index].contains(where: { $0.name == source.name }) {
                throw ConfigurationError(
                    stated.origin, field, expected: "each name once",
                    actual: "two \(source.name)")
            }
            adapters += stated.value
        }
        try resolvePrecisions(settings)
        try resolveProfiles(settings.imageProfiles)
        if let bytes = settings.activationBudget { activationBudget = bytes.value }
        instructions = settings.instructions?.value
        if let bytes = settings.conditioningCacheBytes { conditioningCacheBytes = bytes.value }
        if let bytes = settings.encoderVariantBytes { encoderVariantBytes = bytes.value }
    }

    /// Gives each model the image profile that was stated for its name, else the one for all.
    private mutating func resolveProfiles(
        _ stated: Stated<[StatedProfile]>?
    ) throws(ConfigurationError) {
        guard let stated else { return }
        for entry in stated.value {
            guard let name = entry.model, !models.contains(where: { $0.name == name }) else {
                continue
            }
            throw ConfigurationError(
                stated.origin, "image_profile",
                expected: "one of \(models.map(\.name).joined(separator: ", "))", actual: name)
        }
        for index in models.indices {
            let name = models[index].name
            let own = stated.value.last { $0.model == name }
            models[index].imageProfile = (own ?? stated.value.last { $0.model == nil })?.profile
        }
    }

    /// Gives each model its precisions: those stated for its name, else those stated for all.
    private mutating func resolvePrecisions(
        _ settings: ServeSettings
    ) throws(ConfigurationError) {
        let backend = settings.backend?.value ?? .standard
        let stated = settings.precisions
        for entry in stated?.value ?? [] {
            guard let name = entry.model, !models.contains(where: { $0.name == name }) else {
                continue
            }
            throw ConfigurationError(
                stated?.origin ?? .defaults, "precision",
                expected: "one of \(models.map(\.name).joined(separator: ", "))", actual: name)
        }
        for index in models.indices {
            let name = models[index].name
            let entry =
                stated?.value.last { $0.model == name } ?? stated?.value.last { $0.model == nil }
            let precisions = entry?.precisions ?? [.f32]
            if backend == .openblas, let other = precisions.first(where: { $0 != .f32 }) {
                throw ConfigurationError(
                    stated?.origin ?? .defaults, "precision",
                    expected: "f32 (with the backend openblas)", actual: other.rawValue)
            }
            models[index].options = precisions.map {
                ComputeOptions(precision: $0, backend: backend)
            }
        }
    }
}
