import Encoders
package import Guidance
package import IPC
import Synchronization

/// Prompts that were encoded once, to be used by many requests.
package struct PreparedPrompts: Sendable {
    /// Text embeddings [P][D], not normalised.
    package let embeddings: [[Float]]
    /// `nil` when none were stated.
    package let weights: [Double]?
    package let metric: Metric

    /// What the metric put before each prompt; handles are used only where that is the same.
    var textPrefix: String { metric.text(for: "") }
}

/// Labels that were encoded once.
package struct PreparedClasses: Sendable {
    package let labels: [String]
    /// Unit class vectors [L][D].
    package let vectors: [[Float]]
}

/// Handles to prepared prompts, shared by all clients of the daemon.
///
/// Bounded: when `limit` is reached the handle that was used longest ago is dropped, and whoever
/// still holds it is told to prepare again.
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
    }

    private struct Entry {
        let model: String
        let content: Content
        var lastUse: UInt64
    }

    private struct State {
        var entries: [String: Entry] = [:]
        var clock: UInt64 = 0
    }

    package let limit: Int
    private let state = Mutex(State())

    package init(limit: Int = 4096) { self.limit = limit }

    package var count: Int { state.withLock { $0.entries.count } }

    /// Keeps prepared content and returns its handle: 32 hexadecimal digits that cannot be guessed.
    package func insert(_ content: Content, model: LoadedModel) -> String {
        var random = SystemRandomNumberGenerator()
        let handle = (0..<2).map { _ in
            let digits = String(random.next() as UInt64, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
        state.withLock { state in
            state.clock += 1
            if state.entries.count >= limit,
                let oldest = state.entries.min(by: { $0.value.lastUse < $1.value.lastUse })
            {
                state.entries[oldest.key] = nil
            }
            state.entries[handle] = Entry(
                model: model.fingerprint, content: content, lastUse: state.clock)
        }
        return handle
    }

    /// Forgets a handle.
    ///
    /// - Returns: whether it existed.
    package func remove(_ handle: String) -> Bool {
        state.withLock { $0.entries.removeValue(forKey: handle) != nil }
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
        let entry: Entry? = state.withLock { state in
            state.clock += 1
            state.entries[handle]?.lastUse = state.clock
            return state.entries[handle]
        }
        guard let entry else {
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
