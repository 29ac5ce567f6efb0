import Encoders
package import Serving

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
        let bind = try settings.values(SettingTable.bind)
        let endpoints = bind?.value ?? [environment.endpoint]
        guard PathText.firstEscape(in: environment.endpoint) == nil else {
            throw ConfigurationError(
                .environment("XDG_RUNTIME_DIR"), "", expected: "a path in UTF-8",
                actual: SettingRules.quoted(PathText.readable(environment.endpoint)))
        }
        if let twice = Self.repetition(in: endpoints) {
            throw SettingTable.bind.declaration.error(
                bind?.origin, expected: "each endpoint once", actual: "two \(twice)")
        }
        let statedControl = try settings.value(SettingTable.control)
        let control = statedControl?.value ?? environment.control(for: endpoints)
        if endpoints.contains(control) {
            throw SettingTable.control.declaration.error(
                statedControl?.origin, expected: "an endpoint of its own",
                actual: "\(control), which is also bound")
        }
        let statedModels = try settings.values(SettingTable.models)
        let models = statedModels?.value ?? [.embedded]
        if let twice = Self.repetition(in: models.map(\.name)) {
            throw SettingTable.models.declaration.error(
                statedModels?.origin, expected: "each name once", actual: "two \(twice)")
        }
        let defaultModel = try settings.value(SettingTable.defaultModel)
        if let wanted = defaultModel, !models.contains(where: { $0.name == wanted.value }) {
            throw SettingTable.defaultModel.declaration.error(
                wanted.origin,
                expected: "one of \(models.map(\.name).joined(separator: ", "))",
                actual: wanted.value)
        }
        var limits = Scheduler.Limits()
        if let stated = try settings.value(SettingTable.requests) { limits.requests = stated.value }
        if let stated = try settings.value(SettingTable.queuedBytes) { limits.bytes = stated.value }
        if let stated = try settings.value(SettingTable.batchWait) {
            limits.batchWait = UInt64(stated.value) * 1000
        }
        let threads = try settings.value(SettingTable.threads)
        self.init(
            endpoints: endpoints, controlEndpoints: [control], models: models,
            defaultModel: defaultModel?.value, threads: threads?.value ?? max(availableThreads, 1),
            limits: limits)
        for setting in [SettingTable.loras, SettingTable.embeddings] {
            guard let stated = try settings.values(setting) else { continue }
            if let twice = Self.repetition(in: stated.value.map(\.name)) {
                throw setting.declaration.error(
                    stated.origin, expected: "each name once", actual: "two \(twice)")
            }
            adapters += stated.value
        }
        try resolvePrecisions(settings)
        try resolveProfiles(settings)
        instructions = try settings.value(SettingTable.instructions)?.value
        if let stated = try settings.value(SettingTable.activationBytes) {
            activationBudget = stated.value
        }
        if let stated = try settings.value(SettingTable.conditioningCacheBytes) {
            conditioningCacheBytes = stated.value
        }
        if let stated = try settings.value(SettingTable.encoderVariantBytes) {
            encoderVariantBytes = stated.value
        }
    }

    /// The first text that stands in a list twice.
    private static func repetition(in texts: [String]) -> String? {
        texts.enumerated().first { texts[..<$0.offset].contains($0.element) }?.element
    }

    /// Checks that what was stated for one model was stated for one that is served.
    private func checkModels(
        _ names: [String?], _ setting: SettingDeclaration, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) {
        for name in names.compactMap({ $0 }) where !models.contains(where: { $0.name == name }) {
            throw setting.error(
                origin, expected: "one of \(models.map(\.name).joined(separator: ", "))",
                actual: name)
        }
    }

    /// Gives each model the image profile that was stated for its name, else the one for all.
    private mutating func resolveProfiles(
        _ settings: ServeSettings
    ) throws(ConfigurationError) {
        let setting = SettingTable.imageProfile
        guard let stated = try settings.values(setting) else { return }
        try checkModels(stated.value.map(\.model), setting.declaration, stated.origin)
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
        let setting = SettingTable.precision
        let backend = try settings.value(SettingTable.backend)?.value ?? .standard
        let gradients = try settings.value(SettingTable.gradients)?.value ?? .lazy
        let stated = try settings.values(setting)
        if let stated {
            try checkModels(stated.value.map(\.model), setting.declaration, stated.origin)
        }
        for index in models.indices {
            let name = models[index].name
            let entry =
                stated?.value.last { $0.model == name } ?? stated?.value.last { $0.model == nil }
            let precisions = entry?.precisions ?? [.f32]
            if backend == .openblas, let other = precisions.first(where: { $0 != .f32 }) {
                throw setting.declaration.error(
                    stated?.origin, expected: "f32 (with the backend openblas)",
                    actual: other.rawValue)
            }
            models[index].options = precisions.map {
                ComputeOptions(precision: $0, backend: backend, gradients: gradients)
            }
        }
    }
}
