package import ArgumentParser
import Encoders
import IPC
import JSON

package struct TokenizeCommand: SessionCommand {
    package static let configuration = CommandConfiguration(
        commandName: "tokenize", abstract: "Show the tokens of texts as the model reads them.",
        usage: "guidanced tokenize TEXT... [options]",
        discussion: """
            Token ids with start and end token, without padding. A text that does not fit is an \
            error, or with --long-prompts truncate it is cut and the rest is shown.

            Example:
              guidanced tokenize "a slice of pizza"
            """)

    @Argument(help: "The texts.")
    package var texts: [String]

    @Option(help: "How to print the result.")
    package var format: ReportFormat = .table

    @OptionGroup package var prompts: PromptOptions
    @OptionGroup package var connection: ConnectionOptions

    package init() {}

    /// The tokens of one text, and what had to be left out.
    private struct Tokens: Sendable {
        let ids: [Int]
        let droppedTokens: Int
        let droppedText: String
    }

    package func open(_ console: Console) throws -> any Session { try connection.open(console) }

    package func execute(_ session: any Session, _ console: Console) throws -> CommandStatus {
        let reply = try session.call(
            op: "tokenize", model: connection.requestModel,
            params: [
                "texts": .array(texts.map { .string($0) }),
                "long_prompts": .string(prompts.longPrompts.rawValue),
            ], inputs: [])
        for warning in reply.warnings { console.warn(warning) }
        var results = ItemResults<Tokens>(count: texts.count)
        results.model = reply.model
        results.fingerprint = reply.fingerprint
        for fault in reply.items where texts.indices.contains(fault.index) {
            results.failures.append(
                ItemFailure(
                    index: fault.index,
                    name: "text \(SettingRules.quoted(String(texts[fault.index].prefix(40))))",
                    error: fault.error.withoutField))
        }
        for index in texts.indices where results.failure(index) == nil {
            results.values[index] = try TokenizeCommand.tokens(reply, index)
        }
        if !results.isEmpty { try console.print(report(results)) }
        for (index, tokens) in results.values.enumerated() {
            guard let tokens, tokens.droppedTokens > 0 else { continue }
            console.warn(
                "text \(index + 1): \(tokens.droppedTokens) tokens dropped: "
                    + SettingRules.quoted(tokens.droppedText))
        }
        results.reportFailures(console)
        return results.status
    }

    private static func tokens(_ reply: Reply, _ index: Int) throws(ReplyError) -> Tokens {
        guard let lists = reply.result["tokens"]?.arrayValue, lists.indices.contains(index),
            let list = lists[index].arrayValue
        else { throw ReplyError("it has no tokens of text \(index + 1)") }
        let ids = list.compactMap(\.intValue)
        guard ids.count == list.count else {
            throw ReplyError("a token of text \(index + 1) is no integer")
        }
        let dropped = reply.result["dropped"]?.arrayValue.flatMap {
            $0.indices.contains(index) ? $0[index] : nil
        }
        return Tokens(
            ids: ids, droppedTokens: dropped?["tokens"]?.intValue ?? 0,
            droppedText: dropped?["text"]?.stringValue ?? "")
    }

    private func report(_ results: ItemResults<Tokens>) -> String {
        let rows = zip(texts, results.values).compactMap { text, tokens in
            tokens.map { (text, $0, $0.ids.map(String.init).joined(separator: " ")) }
        }
        switch format {
        case .table:
            var table = Table([
                Table.Column("text"), Table.Column("tokens", .right), Table.Column("ids"),
            ])
            for (text, tokens, ids) in rows {
                let shown = text.count > 40 ? text.prefix(39) + "…" : text[...]
                table.append([String(shown), "\(tokens.ids.count)", ids])
            }
            return table.text()
        case .csv:
            return CSV.text(
                [["text", "tokens", "ids"]] + rows.map { [$0, "\($1.ids.count)", $2] })
        case .json:
            var document = results.jsonHead
            document["texts"] = results.json(names: texts, key: "text") { tokens in
                [
                    "tokens": .array(tokens.ids.map { .integer($0) }),
                    "dropped_tokens": .integer(tokens.droppedTokens),
                    "dropped_text": .string(tokens.droppedText),
                ]
            }
            return JSONValue.object(document).document()
        }
    }
}
