import Encoders
package import IPC
package import JSON

/// Sends image files to an operation, a few to a request, and puts the answers back in order.
package struct ImageRequests {
    package let session: any Session
    package let model: String?
    package let console: Console

    /// Bytes of files in one request, unless a single file is larger.
    private static let requestBytes = 64 << 20
    /// Pixels in one request, unless a single image has more: their gradients are 192 MiB.
    private static let requestPixels = 16 << 20

    package init(session: any Session, model: String?, console: Console) {
        self.session = session
        self.model = model
        self.console = console
    }

    /// Runs an operation over all files.
    ///
    /// - Parameters:
    ///   - paths: at least one.
    ///   - params: of every request.
    ///   - texts: the prompts or labels and how to read them; with several requests they are
    ///     encoded once, by `prepare`.
    ///   - read: takes one value an image out of a reply; those of failed images are ignored.
    /// - Throws: whatever fails a request as a whole.
    package func run<Value: Sendable>(
        _ op: String, paths: [String], params: JSONObject = [:], texts: JSONObject = [:],
        read: (_ reply: Reply, _ count: Int) throws -> [Value]
    ) throws -> ItemResults<Value> {
        var results = ItemResults<Value>(count: paths.count)
        var warnings = Warnings()
        defer { warnings.report(console) }
        let batchSize = session.batchSize
        try Progress.track(op, total: paths.count, console: console) { advance in
            var prepared = PreparedTexts(texts, metric: params["metric"], self)
            defer { prepared.release() }
            if paths.count > batchSize { warnings.add(try prepared.prepare()) }

            var batch: [(index: Int, bytes: [UInt8])] = []
            func send() throws {
                let inputs = batch.map { Input(name: "image", bytes: $0.bytes) }
                defer {
                    advance(batch.count)
                    batch.removeAll()
                }
                let reply: Reply
                do {
                    reply = try prepared.call(op, params, inputs)
                } catch let fault as WireFault where batch.count == 1 && fault.isAboutInputs {
                    let index = batch[0].index
                    results.failures.append(
                        ItemFailure(index: index, name: paths[index], error: fault))
                    return
                }
                results.model = reply.model
                results.fingerprint = reply.fingerprint
                warnings.add(reply.warnings)
                let values = try read(reply, batch.count)
                guard values.count == batch.count else {
                    throw ReplyError("it has \(values.count) results for \(batch.count) images")
                }
                let faults = Dictionary(reply.items.map { ($0.index, $0.error) }) { first, _ in
                    first
                }
                for (position, item) in batch.enumerated() {
                    if let fault = faults[position] {
                        results.failures.append(
                            ItemFailure(index: item.index, name: paths[item.index], error: fault))
                    } else {
                        results.values[item.index] = values[position]
                    }
                }
            }

            var bytesInBatch = 0
            var pixelsInBatch = 0
            for (index, path) in paths.enumerated() {
                let bytes: [UInt8]
                do throws(InputFileError) {
                    bytes = try InputFile.read(path, limit: InputFile.largestImage)
                } catch {
                    results.failures.append(ItemFailure(index: index, name: path, error: error))
                    advance(1)
                    continue
                }
                let header = bytes.withUnsafeBytes { try? PNGDecoder.checkHeader($0) }
                let pixels = header.map { $0.width * $0.height } ?? 0
                let isFull =
                    batch.count == batchSize
                    || pixelsInBatch + pixels > ImageRequests.requestPixels
                    || bytesInBatch + bytes.count > ImageRequests.requestBytes
                if isFull, !batch.isEmpty {
                    try send()
                    bytesInBatch = 0
                    pixelsInBatch = 0
                }
                pixelsInBatch += pixels
                batch.append((index, bytes))
                bytesInBatch += bytes.count
            }
            if !batch.isEmpty { try send() }
        }
        return results
    }
}

/// Warnings of several replies, each reported once.
package struct Warnings: Sendable {
    private var texts: [String] = []

    package init() {}

    package mutating func add(_ more: [String]) {
        for text in more where !texts.contains(text) { texts.append(text) }
    }

    package func report(_ console: Console) {
        for text in texts { console.warn(text) }
    }
}

extension WireFault {
    /// Whether a request failed for what was in its frames, so that its only image is at fault.
    fileprivate var isAboutInputs: Bool {
        switch code {
        case .badImage, .badTensor: true
        case .tooLarge: field?.hasPrefix("inputs") ?? true
        default: false
        }
    }
}
