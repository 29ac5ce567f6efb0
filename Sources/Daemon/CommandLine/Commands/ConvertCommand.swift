package import ArgumentParser
import Encoders
import Serving

package struct ConvertCommand: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "convert",
        abstract: "Write an encoder of any checkpoint as a transformers directory.",
        usage: "guidanced convert SRC[#ENCODER] DST",
        discussion: """
            Writes config.json, model.safetensors and the tokenizer's and preprocessor's files to a \
            new directory; nothing is overwritten, and a directory that could not be written whole \
            is not left behind. Weights keep their values: they are stored in the narrowest of \
            F16, BF16 and F32 that holds each of them exactly.

            Of several encoders one is named behind a #; models inspect lists them.

            Example:
              guidanced convert sd_xl_base_1.0.safetensors#clip_g clip-g
            """)

    @Argument(
        help: "A checkpoint of any form, or embedded:default.", completion: .file())
    package var source: String

    @Argument(help: "The directory to make.", completion: .directory)
    package var destination: String

    package init() {}

    package func run() throws { try CommandRunner.run { try execute($0) } }

    package func execute(_ console: Console) throws -> CommandStatus {
        let tower =
            source == ModelRegistry.Source.embeddedPath
            ? try CheckpointTower.embeddedDefault : try CheckpointContents.tower(at: source)
        let export = try Progress.track("reading \(source)", console: console) { _ in
            try TransformersExport(tower)
        }
        try Progress.track("writing \(destination)", console: console) { _ in
            try export.write(to: destination)
        }
        try console.print(
            "\(Table.printable(destination)): \(tower.role.rawValue), "
                + "\(VerificationReport.grouped(export.parameters)) parameters as "
                + "\(export.type.rawValue)\n")
        for name in export.names { try console.print("  \(name)\n") }
        return .success
    }
}

extension CheckpointTower {
    /// The model compiled into the program.
    fileprivate static var embeddedDefault: CheckpointTower {
        get throws {
            let contents = try CheckpointContents.directory(.embeddedDefault)
            guard let tower = contents.towers.first else {
                throw UsageError("embedded:default: this program was built without a model")
            }
            return tower
        }
    }
}
