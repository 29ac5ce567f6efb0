package import ArgumentParser
import Encoders
import JSON
import Serving
import System

package struct VerifyCommand: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Load a checkpoint, describe it and check that it works.",
        usage: "guidanced verify PATH [--image-profile PROFILE] [--tensors] [--format table|json]",
        discussion: """
            Lists towers, sizes, digests, tokenizer and preprocessing, then measures on this \
            machine: gradients against finite differences, that results do not depend on batch, \
            thread or earlier work, and a canary through decoding, forward and backward pass. \
            Ends with status 1 when a check fails, 65 or 66 when the checkpoint cannot be loaded.

            Example:
              guidanced verify embedded:default
            """)

    @Argument(
        help: "The directory of a checkpoint, or embedded:default.", completion: .directory)
    package var path: String

    @OptionGroup package var image: ImageProfileOption

    @Flag(help: "List every tensor with its digest.")
    package var tensors = false

    @Option(help: ArgumentHelp("Compute threads.", valueName: "n"))
    package var threads: Int?

    @Option(help: "How to print the result.")
    package var format: DocumentFormat = .table

    package init() {}

    package func validate() throws {
        try ConnectionOptions.check(threads, "--threads", SettingRules.threads)
    }

    package func run() throws {
        try CommandRunner.run { console in
            let registry = try Progress.track("loading \(path)", console: console) { _ in
                try ModelRegistry(sources: [
                    ModelRegistry.Source(
                        name: "verified", path: path, imageProfile: image.imageProfile)
                ])
            }
            let model = registry.defaultModel.model
            let checks = try Progress.track("checking", console: console) { _ in
                let parts = try ModelSelfCheck.run(model).map(VerificationCheck.init)
                return parts
                    + EngineCheck.run(registry, threads: threads ?? AvailableThreads.current)
            }
            let report = VerificationReport(report: model.report, checks: checks)
            switch format {
            case .table: try console.print(report.text(tensors: tensors))
            case .json: try console.print(report.json(tensors: tensors).document())
            }
            for check in checks where !check.passed {
                console.remark("\(path): the check \"\(check.name)\" failed")
            }
            return checks.allSatisfy(\.passed) ? .success : .someItemsFailed
        }
    }
}
