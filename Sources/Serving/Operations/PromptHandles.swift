import Encoders
package import Guidance
package import IPC

/// Prompts that were encoded once, to be used by many requests.
package struct PreparedPrompts: Sendable {
    /// Text embeddings [P][D], not normalised.
    package let embeddings: [[Float]]
    /// `nil` when none were stated.
    package let weights: [Double]?
    package let metric: Metric

    /// Memory, roughly.
    var bytes: Int {
        embeddings.reduce(weights.map { 8 * $0.count } ?? 0) { $0 + 4 * $1.count + 32 }
    }

    /// What the metric put before each prompt; handles are used only where that is the same.
    var textPrefix: String { metric.text(for: "") }
}

/// Labels that were encoded once.
package struct PreparedClasses: Sendable {
    package let labels: [String]
    /// Unit class vectors [L][D].
    package let vectors: [[Float]]

    /// Memory, roughly.
    var bytes: Int {
        labels.reduce(0) { $0 + $1.utf8.count + 16 }
            + vectors.reduce(0) { $0 + 4 * $1.count + 32 }
    }
}

/// Handles to prepared prompts, shared by all clients of the daemon.
///
/// Bounded in number and in memory: when a limit is reached the handle that was used longest ago is
/// dropped, and whoever still holds it is told to prepare again.
package final class PromptHandles: Sendable {
    package enum Content: Sendable {
        case prompts(PreparedPrompts)
        case classes(PreparedClasses)
        case conditioning(PreparedConditioning)

        var kind: String {
            switch self {
            case .prompts: "prompts"
            case .classes: "labels"
            case .conditioning: "prompts for condition"
            }
        }

        /// Memory, roughly.
        var bytes: Int {
            switch self {
            case .prompts(let prompts): prompts.bytes
            case .classes(let classes): classes.bytes
            case .conditioning(let prepared): prepared.bytes
            }
        }
    }

    private struct Entry: Sendable {
        let model: String
        let content: Content
    }

    /// Room for some three hundred prompts of Stable Diffusion XL, with negatives, or for a quarter of
    /// a million embeddings.
    package static let defaultBytes = 512 << 20

    private let entries: LeastRecentlyUsed<String, Entry>

    package init(limit: Int = 4096, bytes: Int = PromptHandles.defaultBytes) {
        entries = LeastRecentlyUsed(limit: bytes, countLimit: limit)
    }

    /// How many handles there may be, and what they may hold together.
    package var limit: Int { entries.countLimit }
    package var byteLimit: Int { entries.limit }
    package var count: Int { entries.statistics.entries }
    package var bytes: Int { entries.statistics.bytes }

    /// Keeps prepared content and returns its handle: 32 hexadecimal digits that cannot be guessed.
    ///
    /// - Throws: `too_large` for content that alone is more than all handles may hold.
    package func insert(_ content: Content, model: LoadedModel) throws(WireFault) -> String {
        var random = SystemRandomNumberGenerator()
        let handle = (0..<2).map { _ in
            let digits = String(random.next() as UInt64, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
        let entry = Entry(model: model.fingerprint, content: content)
        guard entries.insert(entry, bytes: content.bytes, for: handle) else {
            throw WireFault(
                .tooLarge,
                "expected at most \(byteLimit) bytes behind a handle, found \(content.bytes)")
        }
        return handle
    }

    /// Forgets a handle.
    ///
    /// - Returns: whether it existed.
    package func remove(_ handle: String) -> Bool {
        entries.remove(handle) != nil
    }

    package func prompts(_ handle: String, model: LoadedModel) throws(WireFault) -> PreparedPrompts
    {
        let content = try content(handle, model: model)
        guard case .prompts(let prompts) = content else {
            throw .parameter(
                "handle", expected: "one prepared from prompts",
                actual: "one prepared from \(content.kind)")
        }
        return prompts
    }

    package func classes(_ handle: String, model: LoadedModel) throws(WireFault) -> PreparedClasses
    {
        let content = try content(handle, model: model)
        guard case .classes(let classes) = content else {
            throw .parameter(
                "handle", expected: "one prepared from labels",
                actual: "one prepared from \(content.kind)")
        }
        return classes
    }

    package func conditioning(
        _ handle: String, model: LoadedModel
    ) throws(WireFault) -> PreparedConditioning {
        let content = try content(handle, model: model)
        guard case .conditioning(let prepared) = content else {
            throw .parameter(
                "handle", expected: "one prepared for condition (with a recipe)",
                actual: "one prepared from \(content.kind)")
        }
        return prepared
    }

    private func content(_ handle: String, model: LoadedModel) throws(WireFault) -> Content {
        guard let entry = entries.value(handle) else {
            throw .parameter(
                "handle", expected: "a handle from prepare that was not released",
                actual: "\"\(handle.prefix(64))\"")
        }
        guard entry.model == model.fingerprint else {
            throw .parameter(
                "handle", expected: "one prepared on model \"\(model.name)\"",
                actual: "one prepared on another model")
        }
        return entry.content
    }
}
