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
