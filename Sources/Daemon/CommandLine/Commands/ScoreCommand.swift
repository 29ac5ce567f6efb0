package import ArgumentParser
import Encoders
package import Guidance
import JSON

package struct ScoreCommand: SessionCommand {
    package static let configuration = CommandConfiguration(
        commandName: "score", abstract: "Score images against prompts.",
        usage: "guidanced score IMAGE... --prompt P... [--metric cosine|logit|clipscore] [options]",
        discussion: """
            One row an image, one column a prompt. "cosine" is the cosine of the two embeddings, \
            "logit" that times the model's logit scale, "clipscore" 2.5 x max(cosine, 0) with the \
            prompt after "A photo depicts ".

            Example:
              guidanced score a.png b.png --prompt "a red circle" --prompt "a blue square"
            """)

    @Argument(help: "PNG files or folders of them; - for standard input.", completion: .file())
    package var images: [String]

    @Option(name: .shortAndLong, help: "A prompt; may be repeated.")
    package var prompt: [String]

    @Option(help: "The score.")
    package var metric: Metric = .cosine

    @Option(help: "How to print the result.")
    package var format: ReportFormat = .table

    @OptionGroup package var prompts: PromptOptions
    @OptionGroup package var connection: ConnectionOptions

    package init() {}

    package func open(_ console: Console) throws -> any Session { try connection.open(console) }

    package func execute(_ session: any Session, _ console: Console) throws -> CommandStatus {
        let images = ImagePaths.expand(self.images, console)
        let requests = ImageRequests(
            session: session, model: connection.requestModel, console: console)
        let results = try requests.run(
            "score", paths: images, params: ["metric": .string(metric.rawValue)],
            texts: [
                "prompts": .array(prompt.map { .string($0) }),
                "long_prompts": .string(prompts.longPrompts.rawValue),
            ]
        ) { reply, count in try reply.rows("scores", count: count, width: prompt.count) }
        if !results.isEmpty { try console.print(report(results, images)) }
        results.reportFailures(console)
        return results.status
    }

    private func report(_ results: ItemResults<[Float]>, _ images: [String]) -> String {
        let rows = zip(images, results.values).compactMap { path, scores in
            scores.map { (path, $0) }
        }
        switch format {
        case .table:
            var table = Table(
                [Table.Column("image")] + prompt.map { Table.Column($0, .right) })
            for (path, scores) in rows {
                table.append([path] + scores.map { Numbers.fixed($0, metric.tableDigits) })
            }
            return table.text()
        case .csv:
            return CSV.text(
                [["image"] + prompt] + rows.map { [$0] + $1.map(Numbers.exact) })
        case .json:
            var document = results.jsonHead
            document["metric"] = .string(metric.rawValue)
            document["prompts"] = .array(prompt.map { .string($0) })
            document["images"] = results.json(names: images, key: "path") { scores in
                ["scores": .array(scores.map(Numbers.json))]
            }
            return JSONValue.object(document).document()
        }
    }
}

extension Metric {
    /// Digits after the point in tables; logits are a hundred times larger than cosines.
    var tableDigits: Int { self == .logit ? 2 : 4 }
}

extension ItemResults {
    /// One object an item, in order: its name, and its result or `error`.
    func json(
        names: [String], key: String, _ members: (Value) -> JSONObject
    ) -> JSONValue {
        .array(
            values.enumerated().map { index, value in
                var object: JSONObject = [key: .string(names[index])]
                if let value {
                    for (name, member) in members(value).members { object[name] = member }
                } else if let failure = failure(index) {
                    object["error"] = failure.json
                }
                return .object(object)
            })
    }
}
