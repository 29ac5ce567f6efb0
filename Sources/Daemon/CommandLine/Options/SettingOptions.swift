package import ArgumentParser
package import Serving

/// The flags of `guidanced serve`, one a setting of `SettingTable`, which has their names and help.
package struct SettingOptions: ParsableArguments {
    @Option(SettingTable.bind) package var bind: [String]
    @Option(SettingTable.control) package var control: [String]
    @Option(SettingTable.models, completion: .directory) package var models: [String]
    @Option(SettingTable.defaultModel) package var defaultModel: [String]
    @Option(SettingTable.loras, completion: .file()) package var loras: [String]
    @Option(SettingTable.embeddings, completion: .file()) package var embeddings: [String]
    @Option(SettingTable.precision) package var precision: [String]
    @Option(SettingTable.imageProfile) package var imageProfile: [String]
    @Option(SettingTable.backend) package var backend: [String]
    @Option(SettingTable.gradients) package var gradients: [String]
    @Option(SettingTable.instructions) package var instructions: [String]
    @Option(SettingTable.threads) package var threads: [String]
    @Option(SettingTable.batchWait) package var batchWait: [String]
    @Option(SettingTable.requests) package var requests: [String]
    @Option(SettingTable.queuedBytes) package var queuedBytes: [String]
    @Option(SettingTable.activationBytes) package var activationBytes: [String]
    @Option(SettingTable.conditioningCacheBytes) package var conditioningCacheBytes: [String]
    @Option(SettingTable.encoderVariantBytes) package var encoderVariantBytes: [String]

    package init() {}

    /// What the flags state.
    ///
    /// - Throws: `ConfigurationError` for a value that cannot be used.
    package func settings() throws(ConfigurationError) -> ServeSettings {
        try ServeSettings(flags: [
            (SettingTable.bind, bind), (SettingTable.control, control),
            (SettingTable.models, models), (SettingTable.defaultModel, defaultModel),
            (SettingTable.loras, loras), (SettingTable.embeddings, embeddings),
            (SettingTable.precision, precision), (SettingTable.imageProfile, imageProfile),
            (SettingTable.backend, backend), (SettingTable.gradients, gradients),
            (SettingTable.instructions, instructions),
            (SettingTable.threads, threads), (SettingTable.batchWait, batchWait),
            (SettingTable.requests, requests),
            (SettingTable.queuedBytes, queuedBytes),
            (SettingTable.activationBytes, activationBytes),
            (SettingTable.conditioningCacheBytes, conditioningCacheBytes),
            (SettingTable.encoderVariantBytes, encoderVariantBytes),
        ])
    }
}

extension Option where Value == [String] {
    /// The flag of a setting, not read yet.
    fileprivate init<Element>(_ setting: Setting<Element>, completion: CompletionKind? = nil) {
        let declaration = setting.declaration
        let value =
            switch declaration.form {
            case .text, .number, .list: declaration.placeholder
            case .named: "name=\(declaration.placeholder)"
            case .perModel: "[name=]\(declaration.placeholder)"
            }
        let fallback = declaration.fallback.filter { $0 != "`" }
        let again = declaration.isRepeated ? " May be repeated." : ""
        self.init(
            wrappedValue: [],
            name: NameSpecification(
                ([declaration.flag] + declaration.formerFlags).map {
                    NameSpecification.Element.customLong($0)
                }),
            help: ArgumentHelp(
                "\(declaration.help)\(again) (default: \(fallback))",
                valueName: value.lowercased()), completion: completion)
    }
}
