public import ArgumentParser
public import Encoders
public import Guidance
package import Prompts

/// How a result is printed.
package enum ReportFormat: String, CaseIterable, Sendable, ExpressibleByArgument {
    /// For people.
    case table
    /// Documented keys, full precision.
    case json
    /// RFC 4180, full precision.
    case csv
}

/// How a result is printed that is no list of rows.
package enum DocumentFormat: String, CaseIterable, Sendable, ExpressibleByArgument {
    case table, json
}

/// How embeddings are written.
package enum EmbeddingFormat: String, CaseIterable, Sendable, ExpressibleByArgument {
    case json, npy
}

// Argument values by the names that the wire uses.
extension Metric: ExpressibleByArgument {}
extension SteeringLoss: ExpressibleByArgument {}
extension Overflow: ExpressibleByArgument {}
extension PromptSyntax: ExpressibleByArgument {}
extension Emphasis: ExpressibleByArgument {}
extension LongPromptPolicy: ExpressibleByArgument {}
extension NegativePolicy: ExpressibleByArgument {}

/// What to do with prompts that are too long for the text tower.
package struct PromptOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "A prompt with more tokens than the model takes: an error, or cut with a warning."))
    package var longPrompts: Overflow = .error

    package init() {}
}

extension ImagePreprocessing.Profile: ExpressibleByArgument {}

/// Whose image preprocessing to follow, of commands that load one model.
package struct ImageProfileOption: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Whose pixels images come to: transformers-pil, transformers-torchvision, open_clip or "
                + "comfy (default: as the checkpoint says, transformers meaning transformers-pil).",
            valueName: "profile"))
    package var imageProfile: ImagePreprocessing.Profile?

    package init() {}
}
