import Encoders
package import IPC
import JSON
import Synchronization
import System

/// Proof of readiness: a picture and a prompt of our own that go the whole way (decode, forward, and
/// backward once there is what gradients need) through the same scheduler as everybody's requests.
///
/// A daemon whose threads are stuck, or whose results have changed, is not ready, whatever else
/// still answers.
package final class Canary: Sendable {
    package struct State: Sendable {
        package let isReady: Bool
        /// Since the last success, in nanoseconds; `nil` before the first.
        package let age: UInt64?
        /// What went wrong last, if the last run failed.
        package let fault: String?
    }

    private struct Record {
        var lastSuccess: UInt64?
        var fault: String?
        var isRunning = false
        /// The first run's results by operation and fingerprint; later runs must repeat them bit for bit.
        var reference: [String: [UInt8]] = [:]
    }

    /// How often it runs.
    package static let interval: UInt64 = 30_000_000_000
    /// A success older than this no longer counts.
    package static let longestAge: UInt64 = 120_000_000_000
    /// The address that its requests carry; no socket can have it.
    package static let address = ClientAddress(socket: -1, routingID: Array("canary".utf8))

    private let record = Mutex(Record())

    package init() {}

    package func state(now: UInt64) -> State {
        record.withLock { record in
            let age = record.lastSuccess.map { now &- $0 }
            return State(
                isReady: record.fault == nil && (age ?? .max) <= Canary.longestAge, age: age,
                fault: record.fault)
        }
    }

    /// Tries a side that a model has just got, by one embedding, and waits for the result. Only a fault
    /// is kept: readiness needs the whole.
    package func run(on engine: Engine, _ model: LoadedModel, _ kind: TowerKinds) {
        let answer = Monitor<Result<Void, Failure>?>(nil)
        check(model, kind, on: engine) { result in answer.update { $0 = result } }
        guard case .failure(let failure) = answer.wait({ $0 }) else { return }
        record.withLock { record in record.fault = failure.reason }
    }

    /// Runs once on every model, in every precision, and waits for the result. To be called when all
    /// towers are there.
    package func run(on engine: Engine) {
        let isDone = Monitor(false)
        begin(on: engine) { isDone.update { $0 = true } }
        isDone.wait { $0 ? () : nil }
    }

    /// As `run(on:)`, without waiting: threads that hang must not keep whoever looks after them.
    ///
    /// - Parameter completion: called when all models have been tried, on a compute thread as a rule.
    package func begin(on engine: Engine, completion: @escaping @Sendable () -> Void) {
        record.withLock { $0.isRunning = true }
        tryNext(engine.registry.slots[...], on: engine, completion)
    }

    /// Whether a run has begun that has no result yet.
    package var isRunning: Bool { record.withLock { $0.isRunning } }

    /// Tries one model after the other, until one fails.
    private func tryNext(
        _ slots: ArraySlice<ModelSlot>, on engine: Engine,
        _ completion: @escaping @Sendable () -> Void
    ) {
        guard let slot = slots.first else { return end(nil, completion) }
        check(slot.model, slot.model.kinds, on: engine) { result in
            switch result {
            case .success: self.tryNext(slots.dropFirst(), on: engine, completion)
            case .failure(let failure): self.end(failure.reason, completion)
            }
        }
    }

    private func end(_ fault: String?, _ completion: () -> Void) {
        record.withLock { record in
            record.isRunning = false
            record.fault = fault
            if fault == nil { record.lastSuccess = monotonicNow() }
        }
        completion()
    }

    private struct Failure: Error {
        let reason: String
    }

    /// Finds out what is wrong with these sides of a model, if anything is.
    private func check(
        _ model: LoadedModel, _ kinds: TowerKinds, on engine: Engine,
        _ completion: @escaping @Sendable (Result<Void, Failure>) -> Void
    ) {
        var params = JSONObject()
        var inputs: [Input] = []
        let op: String
        // A pipeline is tried by its first encoder, like everything that embeds.
        let hasText = kinds.contains(.text) && model.model.configuration.text != nil
        let hasImages = kinds.contains(.image) && model.model.configuration.vision != nil
        guard hasText || hasImages else { return completion(.success(())) }
        if hasImages {
            switch Canary.picture {
            case .success(let file):
                inputs = [Input(name: "image", bytes: file, contentType: "image/png")]
            case .failure(let error):
                return completion(.failure(Failure(reason: "\(error)")))
            }
        }
        if hasText, hasImages {
            // Not the one who makes what gradients need: nobody may ever want one.
            let options = model.model.options
            let hasGradients =
                options.hasGradients
                && (options.gradients == .eager || model.gradientBytes > 0)
            op = hasGradients ? "gradient" : "score"
            params["prompts"] = ["a red circle"]
        } else if hasImages {
            op = "embed_image"
        } else {
            op = "embed_text"
            params["texts"] = ["a red circle"]
        }
        params["precision"] = .string(model.precision.rawValue)
        let request = Request(
            client: Canary.address, id: "canary", op: op, model: model.name,
            deadlineMilliseconds: nil, priority: Int.max, params: params, inputs: inputs,
            warnings: [], receivedAt: monotonicNow(), isControl: true)
        engine.handle(request) { reply in
            let problem = self.problem(reply, "\(op) \(model.fingerprint)")
            completion(
                problem.map { .failure(Failure(reason: "\(model.name): \($0)")) } ?? .success(()))
        }
    }

    /// What is wrong with a reply; the first good one of a key is what later ones must repeat.
    private func problem(_ reply: Reply, _ key: String) -> String? {
        var bytes: [UInt8] = []
        if let error = reply.error ?? reply.items.first?.error {
            // A projection of zeros: whoever asks for embeddings is told, hidden states are served.
            guard error.message.contains(ResultCheck.withLength) else { return error.message }
            bytes = Array(error.message.utf8)
        }
        for output in bytes.isEmpty ? reply.outputs : [] {
            let content = output.frame.array
            let floats = content.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
            if !floats.allSatisfy({ $0.isFinite }) {
                return "\"\(output.header.name)\" is not finite"
            }
            bytes += content
        }
        let expected = record.withLock { record in
            record.reference[key]
                ?? {
                    record.reference[key] = bytes
                    return bytes
                }()
        }
        return bytes == expected ? nil : "the result changed since the first run"
    }

    /// A red disc on blue, 48 × 48.
    private static let picture: Result<[UInt8], EncoderError> = {
        let side = 48
        var pixels: [UInt8] = []
        for y in 0..<side {
            for x in 0..<side {
                let dx = 2 * x - side + 1
                let dy = 2 * y - side + 1
                pixels += dx * dx + dy * dy < 30 * 30 ? [220, 30, 40] : [30, 60, 200]
            }
        }
        do throws(EncoderError) {
            return .success(try PNGEncoder.encode(rgb: pixels, height: side, width: side))
        } catch {
            return .failure(error)
        }
    }()
}
