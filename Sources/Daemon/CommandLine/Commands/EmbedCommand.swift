package import ArgumentParser
import Encoders
import IPC
import JSON
import Synchronization

package struct EmbedCommand: SessionCommand {
    package static let configuration = CommandConfiguration(
        commandName: "embed", abstract: "Embed texts and images in the model's joint space.",
        usage: "guidanced embed (--text T | --image FILE)... [--format json|npy] [--out FILE]",
        discussion: """
            One row of length 1 for each --text and --image, in the order in which they stand on \
            the command line; a folder is one row for each of its images. npy is a NumPy file, FP32 [N, D]; an item that failed is a row of \
            NaN there.

            Example:
              guidanced embed --text "a red circle" --image circle.png --out both.npy
            """)

    @Option(
        help: ArgumentHelp("A text; may be repeated.", valueName: "text"),
        transform: { Item(.text($0)) })
    package var text: [Item] = []

    @Option(
        help: ArgumentHelp(
            "A PNG file or a folder of them, - for standard input; may be repeated.",
            valueName: "file"), completion: .file(), transform: { Item(.image($0)) })
    package var image: [Item] = []

    @Flag(help: "Leave the embeddings as long as the model makes them.")
    package var noNormalize = false

    @Option(help: "How to write the result (default: npy for a FILE named *.npy, else json).")
    package var format: EmbeddingFormat?

    @Option(
        name: .shortAndLong,
        help: ArgumentHelp("Where to write it; - for standard output.", valueName: "file"),
        completion: .file())
    package var out: String?

    @OptionGroup package var prompts: PromptOptions
    @OptionGroup package var connection: ConnectionOptions

    package init() {}

    /// One thing to embed, with its place among all.
    ///
    /// The parser collects `--text` and `--image` apart. It makes their values while it walks
    /// through the arguments from left to right, so a running number keeps their common order.
    package struct Item: Sendable {
        package enum Content: Equatable, Sendable {
            case text(String)
            case image(String)
        }

        private static let counter = Mutex(0)

        package let content: Content
        fileprivate let place: Int

        init(_ content: Content) {
            self.content = content
            place = Item.counter.withLock { next in
                next += 1
                return next
            }
        }
    }

    /// Texts and images in the order of the command line.
    package var items: [Item.Content] {
        (text + image).sorted { $0.place < $1.place }.map(\.content)
    }

    package var resolvedFormat: EmbeddingFormat {
        format ?? (out?.hasSuffix(".npy") == true ? .npy : .json)
    }

    package func validate() throws {
        if text.isEmpty, image.isEmpty {
            throw ValidationError("Expected at least one --text or --image.")
        }
    }

    package func prepare() throws { try OutputFile(out).checkWritable() }

    package func open(_ console: Console) throws -> any Session { try connection.open(console) }

    package func execute(_ session: any Session, _ console: Console) throws -> CommandStatus {
        let items = self.items.flatMap { item -> [Item.Content] in
            guard case .image(let path) = item else { return [item] }
            return ImagePaths.expand([path], console).map { .image($0) }
        }
        let file = OutputFile(out)
        if resolvedFormat == .npy, file.path == nil, console.output.isTerminal {
            throw OutputError.binaryToTerminal
        }
        var results = ItemResults<[Float]>(count: items.count)
        try embedTexts(items, session, console, &results)
        try embedImages(items, session, console, &results)
        if !results.isEmpty {
            switch resolvedFormat {
            case .json:
                try file.write(
                    Array(document(items, results).utf8), isBinary: false, console: console)
            case .npy:
                try file.write(try EmbedCommand.npy(results), isBinary: true, console: console)
            }
        }
        results.reportFailures(console)
        return results.status
    }

    /// Texts in one request; the daemon takes more of them than a command line has room for.
    private func embedTexts(
        _ items: [Item.Content], _ session: any Session, _ console: Console,
        _ results: inout ItemResults<[Float]>
    ) throws {
        let texts = items.enumerated().compactMap { index, item in
            if case .text(let text) = item { (index: index, text: text) } else { nil }
        }
        guard !texts.isEmpty else { return }
        let params: JSONObject = [
            "texts": .array(texts.map { .string($0.text) }),
            "normalize": .bool(!noNormalize),
            "long_prompts": .string(prompts.longPrompts.rawValue),
        ]
        let reply = try Progress.track("embed_text", console: console) { _ in
            try session.call(
                op: "embed_text", model: connection.requestModel, params: params, inputs: [])
        }
        results.model = reply.model
        results.fingerprint = reply.fingerprint
        for warning in reply.warnings { console.warn(warning) }
        let rows = try reply.rows("embeddings", count: texts.count)
        for (item, row) in zip(texts, rows) { results.values[item.index] = row }
        for fault in reply.items where texts.indices.contains(fault.index) {
            let (index, text) = texts[fault.index]
            results.values[index] = nil
            results.failures.append(
                ItemFailure(
                    index: index, name: "text \(SettingRules.quoted(String(text.prefix(40))))",
                    error: fault.error.withoutField))
        }
    }

    private func embedImages(
        _ items: [Item.Content], _ session: any Session, _ console: Console,
        _ results: inout ItemResults<[Float]>
    ) throws {
        let images = items.enumerated().compactMap { index, item in
            if case .image(let path) = item { (index: index, path: path) } else { nil }
        }
        guard !images.isEmpty else { return }
        let requests = ImageRequests(
            session: session, model: connection.requestModel, console: console)
        let embedded = try requests.run(
            "embed_image", paths: images.map(\.path), params: ["normalize": .bool(!noNormalize)]
        ) { reply, count in try reply.rows("embeddings", count: count) }
        results.model = results.model ?? embedded.model
        results.fingerprint = results.fingerprint ?? embedded.fingerprint
        for (item, row) in zip(images, embedded.values) { results.values[item.index] = row }
        for failure in embedded.failures {
            results.failures.append(
                ItemFailure(
                    index: images[failure.index].index, name: failure.name,
                    error: failure.error))
        }
    }

    private func document(
        _ items: [Item.Content], _ results: ItemResults<[Float]>
    ) -> String {
        var document = results.jsonHead
        document["normalized"] = .bool(!noNormalize)
        document["embeddings"] = .array(
            items.enumerated().map { index, item in
                var object: JSONObject =
                    switch item {
                    case .text(let text): ["text": .string(text)]
                    case .image(let path): ["image": .string(path)]
                    }
                if let row = results.values[index] {
                    object["embedding"] = .array(row.map(Numbers.json))
                } else if let failure = results.failure(index) {
                    object["error"] = failure.json
                }
                return .object(object)
            })
        return JSONValue.object(document).document()
    }

    /// [N, D] with NaN for items that failed.
    private static func npy(_ results: ItemResults<[Float]>) throws(ReplyError) -> [UInt8] {
        let width = results.values.compactMap { $0?.count }.first ?? 0
        var values: [Float] = []
        values.reserveCapacity(results.values.count * width)
        for row in results.values {
            let row = row ?? Array(repeating: .nan, count: width)
            guard row.count == width else {
                throw ReplyError("text and image embeddings have \(width) and \(row.count) values")
            }
            values += row
        }
        return NPY.encode(values, shape: [results.values.count, width])
    }
}

extension WireFault {
    /// The fault where its place is already told in other words.
    var withoutField: WireFault {
        var fault = self
        fault.field = nil
        return fault
    }
}
