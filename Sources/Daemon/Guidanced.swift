package import ArgumentParser

@main
package struct Guidanced: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "guidanced",
        abstract: "CLIP guidance beside your sampler: embeddings, scores, rankings, gradients.",
        discussion: """
            `guidanced serve` is the daemon. Every other command works by itself on the built-in \
            model or with --model PATH, or lets a running daemon do the work with --connect \
            ENDPOINT; the output is the same.

            Exit codes:
            \(CommandStatus.help)

            Shell completions: guidanced --generate-completion-script bash (or zsh, fish).
            """,
        version: Version.current,
        subcommands: [
            ServeCommand.self, EmbedCommand.self, ScoreCommand.self, RankCommand.self,
            ClassifyCommand.self, GradientCommand.self, ConditionCommand.self, TokenizeCommand.self,
            ModelsCommand.self, VerifyCommand.self, ConvertCommand.self, BenchCommand.self,
        ])

    package init() {}
}
