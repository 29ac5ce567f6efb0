package import ArgumentParser
import Encoders
package import Guidance
import IPC
import JSON

package struct RankCommand: SessionCommand {
    package static let configuration = CommandConfiguration(
        commandName: "rank", abstract: "Rank images by how well they fit a prompt.",
        usage: "guidanced rank IMAGE... --prompt P [--top N] [options]",
        discussion: """
            Best first; equal scores keep the order in which the images were given.

            Example:
              guidanced rank *.png --prompt "a slice of pizza" --top 3
            """)

    @Argument(help: "PNG files or folders of them; - for standard input.", completion: .file())
    package var images: [String]

    @Option(name: .shortAndLong, help: "The prompt.")
    package var prompt: String

    @Option(help: ArgumentHelp("Print only the best n.", valueName: "n"))
    package var top: Int?

    @Option(help: "The score; see guidanced help score.")
    package var metric: Metric = .cosine

    @Option(help: "How to print the result.")
    package var format: ReportFormat = .table

    @OptionGroup package var prompts: PromptOptions
    @OptionGroup package var connection: ConnectionOptions

    package init() {}

    package func validate() throws {
        try ConnectionOptions.check(top, "--top", 1...Int.max)
    }

    package func open(_ console: Console) throws -> any Session { try connection.open(console) }

    package func execute(_ session: any Session, _ console: Console) throws -> CommandStatus {
        let images = ImagePaths.expand(self.images, console)
        let requests = ImageRequests(
            session: session, model: connection.requestModel, console: console)
        let results = try requests.run(
            "rank", paths: images, params: ["metric": .string(metric.rawValue)],
            texts: [
                "prompt": .string(prompt),
                "long_prompts": .string(prompts.longPrompts.rawValue),
            ]
        ) { reply, count in
            let scores = try RankCommand.scores(reply.result["ranking"], count: count)
            let failed = Set(reply.items.map(\.index))
            for index in 0..<count where scores[index] == nil && !failed.contains(index) {
                throw ReplyError("image \(index) is neither ranked nor failed")
            }
            return scores.map { $0 ?? .nan }
        }
        // Every request ranked its own images; these are all of them.
        let ranking = Ranking.best(results.values, limit: top)
        if !ranking.isEmpty { try console.print(report(ranking, results, images)) }
        results.reportFailures(console)
        return results.status
    }

    /// The score of each image of a request; `nil` for those that are not ranked.
    private static func scores(_ ranking: JSONValue?, count: Int) throws(ReplyError) -> [Float?] {
        guard let entries = ranking?.arrayValue else { throw ReplyError("it has no ranking") }
        var scores = [Float?](repeating: nil, count: count)
        for entry in entries {
            guard let index = entry["index"]?.intValue, scores.indices.contains(index),
                let score = entry["score"]?.doubleValue
            else { throw ReplyError("an entry of its ranking is \(entry.text().prefix(100))") }
            scores[index] = Float(score)
        }
        return scores
    }

    private func report(
        _ ranking: [RankedItem], _ results: ItemResults<Float>, _ images: [String]
    ) -> String {
        switch format {
        case .table:
            var table = Table([
                Table.Column("rank", .right), Table.Column("score", .right),
                Table.Column("image"),
            ])
            for (place, item) in ranking.enumerated() {
                table.append([
                    "\(place + 1)", Numbers.fixed(item.score, metric.tableDigits),
                    images[item.index],
                ])
            }
            return table.text()
        case .csv:
            return CSV.text(
                [["rank", "image", "score"]]
                    + ranking.enumerated().map { place, item in
                        ["\(place + 1)", images[item.index], Numbers.exact(item.score)]
                    })
        case .json:
            var document = results.jsonHead
            document["metric"] = .string(metric.rawValue)
            document["prompt"] = .string(prompt)
            document["ranking"] = .array(
                ranking.enumerated().map { place, item in
                    [
                        "rank": .integer(place + 1), "path": .string(images[item.index]),
                        "index": .integer(item.index), "score": Numbers.json(item.score),
                    ]
                })
            document["failed"] = .array(
                results.failures.sorted { $0.index < $1.index }.map { failure in
                    [
                        "path": .string(failure.name), "index": .integer(failure.index),
                        "error": failure.json,
                    ]
                })
            return JSONValue.object(document).document()
        }
    }
}
