package import ArgumentParser
import Encoders
import JSON

package struct ClassifyCommand: SessionCommand {
    package static let configuration = CommandConfiguration(
        commandName: "classify", abstract: "Say which of some labels each image shows.",
        usage: """
            guidanced classify IMAGE... --labels A,B,C [options]
            guidanced classify IMAGE... --labels-file FILE [--templates FILE] [options]
            """,
        discussion: """
            Zero-shot: each label is put into each template, "a photo of a {}." by default, and \
            the image is compared with the mean of a label's texts. The probabilities of an \
            image's labels sum to 1. The table shows the best labels; json and csv have all.

            Example:
              guidanced classify cat.png --labels "cat,dog,slice of pizza"
            """)

    @Argument(help: "PNG files or folders of them; - for standard input.", completion: .file())
    package var images: [String]

    @Option(help: ArgumentHelp("Labels, separated by commas.", valueName: "a,b,c"))
    package var labels: String?

    @Option(
        help: ArgumentHelp("A file with one label a line.", valueName: "file"),
        completion: .file())
    package var labelsFile: String?

    @Option(
        help: ArgumentHelp(
            "A file with one template a line; {} is where the label goes.", valueName: "file"),
        completion: .file())
    package var templates: String?

    @Option(help: ArgumentHelp("Labels an image in the table.", valueName: "n"))
    package var top: Int = 3

    @Option(help: "How to print the result.")
    package var format: ReportFormat = .table

    @OptionGroup package var prompts: PromptOptions
    @OptionGroup package var connection: ConnectionOptions

    package init() {}

    package func validate() throws {
        if (labels == nil) == (labelsFile == nil) {
            throw ValidationError("Expected either --labels or --labels-file.")
        }
        if let labels { _ = try ClassifyCommand.split(labels) }
        try ConnectionOptions.check(top, "--top", 1...Int.max)
    }

    /// Labels between commas, without spaces around them.
    private static func split(_ text: String) throws -> [String] {
        let labels = text.split(separator: ",", omittingEmptySubsequences: false)
            .map(InputFile.trimmed)
        guard !labels.contains("") else {
            throw ValidationError(
                "--labels: expected labels separated by commas, found an empty one in "
                    + "\(SettingRules.quoted(text)).")
        }
        return labels
    }

    package func open(_ console: Console) throws -> any Session { try connection.open(console) }

    package func execute(_ session: any Session, _ console: Console) throws -> CommandStatus {
        let labels =
            try self.labels.map(ClassifyCommand.split)
            ?? labelsFile.map { path throws(InputFileError) in try InputFile.lines(path) } ?? []
        var texts: JSONObject = [
            "labels": .array(labels.map { .string($0) }),
            "long_prompts": .string(prompts.longPrompts.rawValue),
        ]
        if let templates {
            texts["templates"] = .array(try InputFile.lines(templates).map { .string($0) })
        }
        let images = ImagePaths.expand(self.images, console)
        let requests = ImageRequests(
            session: session, model: connection.requestModel, console: console)
        let results = try requests.run("classify", paths: images, texts: texts) { reply, count in
            try reply.rows("probabilities", count: count, width: labels.count)
        }
        if !results.isEmpty { try console.print(report(results, labels, images)) }
        results.reportFailures(console)
        return results.status
    }

    private func report(
        _ results: ItemResults<[Float]>, _ labels: [String], _ images: [String]
    ) -> String {
        let rows = zip(images, results.values).compactMap { path, probabilities in
            probabilities.map { (path, $0, ClassifyCommand.order($0)) }
        }
        switch format {
        case .table:
            let shown = min(top, labels.count)
            var columns = [Table.Column("image")]
            for place in 0..<shown {
                columns.append(Table.Column(place == 0 ? "label" : "label \(place + 1)"))
                columns.append(Table.Column("%", .right))
            }
            var table = Table(columns)
            for (path, probabilities, order) in rows {
                table.append(
                    [path]
                        + order.prefix(shown).flatMap { label in
                            [
                                labels[label],
                                Numbers.fixed(Double(probabilities[label]) * 100, 1),
                            ]
                        })
            }
            return table.text()
        case .csv:
            return CSV.text(
                [["image", "best"] + labels]
                    + rows.map { path, probabilities, order in
                        [path, labels[order[0]]] + probabilities.map(Numbers.exact)
                    })
        case .json:
            var document = results.jsonHead
            document["labels"] = .array(labels.map { .string($0) })
            document["images"] = results.json(names: images, key: "path") { probabilities in
                [
                    "best": .string(labels[ClassifyCommand.order(probabilities)[0]]),
                    "probabilities": .array(probabilities.map(Numbers.json)),
                ]
            }
            return JSONValue.object(document).document()
        }
    }

    /// Label numbers, most probable first, ties in their order.
    private static func order(_ probabilities: [Float]) -> [Int] {
        probabilities.indices.sorted {
            (probabilities[$1], $0) < (probabilities[$0], $1)
        }
    }
}
