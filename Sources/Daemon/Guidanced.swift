package import ArgumentParser
import Encoders
import Glibc
import Serving

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
            ModelsGroup.self, VerifyCommand.self, ConvertCommand.self, BenchCommand.self,
        ])

    package init() {}

    /// Arguments are bytes: names of files need not be UTF-8 (`PathText`), texts must be
    /// (`ArgumentText`).
    package static func main() {
        var arguments: [String] = []
        for index in 1..<max(Int(CommandLine.argc), 1) {
            guard let argument = CommandLine.unsafeArgv[index] else { break }
            let bytes = UnsafeBufferPointer(start: argument, count: strlen(argument))
            arguments.append(PathText.text(bytes.map(UInt8.init(bitPattern:))))
        }
        main(arguments)
    }
}
