package import ArgumentParser
import Encoders
import Serving

package struct InspectCommand: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "inspect",
        abstract:
            "Say what a checkpoint, LoRA or textual inversion is and what it can be used for.",
        usage: "guidanced models inspect PATH [--format table|json]",
        discussion: """
            Reads names and shapes, not weights, so a file of many gigabytes takes no time. Knows \
            transformers, open_clip and diffusers directories; OpenAI's models; single files of \
            Stable Diffusion 1, 2, 3, XL and FLUX; GGUF; LoRA and textual inversion files. Pickles \
            are read without running anything.

            Example:
              guidanced models inspect sd_xl_base_1.0.safetensors
            """)

    @Argument(help: "A file or directory, or embedded:default.", completion: .file())
    package var path: String

    @Option(help: "How to print the result.")
    package var format: DocumentFormat = .table

    package init() {}

    package func run() throws { try CommandRunner.run { try execute($0) } }

    package func execute(_ console: Console) throws -> CommandStatus {
        let found =
            path == ModelRegistry.Source.embeddedPath
            ? WeightsFile.encoders(try .directory(.embeddedDefault))
            : try WeightsFile.identify(path)
        let report = try InspectionReport(found)
        switch format {
        case .table: try console.print(report.text)
        case .json: try console.print(report.json.document())
        }
        return .success
    }
}
