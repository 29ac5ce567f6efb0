package import ArgumentParser
import IPC
import JSON
import Serving

/// `guidanced models`, which lists when nothing else is said.
package struct ModelsGroup: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "models", abstract: "List models, or say what a checkpoint holds.",
        discussion: """
            Without a subcommand it lists: the built-in model, those named by --model, or with \
            --connect those of a daemon.

            Example:
              guidanced models inspect sd_xl_base_1.0.safetensors
            """,
        subcommands: [ModelsCommand.self, InspectCommand.self],
        defaultSubcommand: ModelsCommand.self)

    package init() {}
}

package struct ModelsCommand: SessionCommand {
    package static let configuration = CommandConfiguration(
        commandName: "list", abstract: "List models: the built-in one, or those of a daemon.",
        usage: "guidanced models [--model NAME=PATH]... | [--connect ENDPOINT] [options]",
        discussion: """
            The default model is marked with *. The fingerprint is a digest of weights and \
            configuration: equal fingerprints give equal results.

            Example:
              guidanced models --model mine=checkpoints/vit-b-32
            """)

    @Option(
        help: ArgumentHelp(
            "The directory of a checkpoint, to be listed too; may be repeated.",
            valueName: "name=path"), completion: .directory)
    package var model: [String] = []

    @Option(
        help: ArgumentHelp(
            "List the models of the daemon at this endpoint.", valueName: "endpoint"))
    package var connect: String?

    @Option(help: "How to print the result.")
    package var format: DocumentFormat = .table

    package init() {}

    package func validate() throws {
        if let connect {
            try ConnectionOptions.checkEndpoint(connect)
            if !model.isEmpty {
                throw ValidationError("--model is of no use with --connect.")
            }
        }
        let sources = try self.sources
        for (index, source) in sources.enumerated()
        where sources[..<index].contains(where: { $0.name == source.name }) {
            throw ValidationError("--model: expected each name once, found two \(source.name).")
        }
    }

    private var sources: [ModelRegistry.Source] {
        get throws { try [.embedded] + model.map(ModelArgument.parse) }
    }

    package func open(_ console: Console) throws -> any Session {
        try ConnectionOptions.open(
            connect: connect, timeout: nil, models: try sources, threads: 1, console)
    }

    package func execute(_ session: any Session, _ console: Console) throws -> CommandStatus {
        let reply = try session.call(op: "models", model: nil, params: [:], inputs: [])
        guard let models = reply.result["models"]?.arrayValue else {
            throw ReplyError("it has no list of models")
        }
        switch format {
        case .json: try console.print(JSONValue.object(reply.result).document())
        case .table:
            try console.print(
                ModelsCommand.table(
                    models, defaultModel: reply.result["default_model"]?.stringValue))
        }
        return .success
    }

    private static func table(_ models: [JSONValue], defaultModel: String?) -> String {
        var table = Table([
            Table.Column("model"), Table.Column("fingerprint"), Table.Column("precision"),
            Table.Column("embedding", .right), Table.Column("image tower"),
            Table.Column("text tower"),
        ])
        for model in models {
            let name = model["name"]?.stringValue ?? "?"
            let towers = [model["vision"], model["text"]]
            let profile = (model["image_profile"]?.stringValue).map { ", \($0)" } ?? ""
            let width = towers.compactMap { $0?["embedding_width"]?.intValue }.first
            table.append([
                name + (name == defaultModel ? " *" : ""),
                String((model["fingerprint"]?.stringValue ?? "").prefix(16)),
                model["precision"]?.stringValue ?? "", width.map(String.init) ?? "",
                model["vision"].map { tower in
                    "\(number(tower, "image_size")) px, patch \(number(tower, "patch_size")), "
                        + size(tower) + profile
                } ?? "none",
                model["text"].map { tower in
                    "\(number(tower, "context_length")) tokens, "
                        + "\(number(tower, "vocabulary_size")) ids, " + size(tower)
                } ?? "none",
            ])
        }
        return table.text()
    }

    private static func size(_ tower: JSONValue) -> String {
        "\(number(tower, "layers")) × \(number(tower, "width"))"
    }

    private static func number(_ tower: JSONValue, _ key: String) -> String {
        tower[key]?.intValue.map(String.init) ?? "?"
    }
}
