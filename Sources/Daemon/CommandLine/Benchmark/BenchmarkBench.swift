package import Encoders
package import IPC
import Serving
import Synchronization
import System

/// A model on compute threads of its own, the same scheduler as the daemon's, ready to do one piece of
/// work after the other and say how long each took.
package final class BenchmarkBench: Sendable {
    private let model: CLIPModel
    private let scheduler: Scheduler
    private let activationBudget: Int
    /// An encoded picture, for `preprocess`.
    private let picture: [UInt8]?
    private let meters = Mutex<[Int: StageMeter]>([:])
    private let workspaceBytes = Mutex<[Int: Int]>([:])
    /// Whether stages are timed.
    private let isProfiled: Bool

    package init(
        model: CLIPModel, threads: Int, activationBudget: Int, picture: [UInt8]?,
        isProfiled: Bool
    ) {
        self.model = model
        self.activationBudget = activationBudget
        self.picture = picture
        self.isProfiled = isProfiled
        scheduler = Scheduler(
            threadCount: threads, limits: Scheduler.Limits(), activationBudget: activationBudget)
    }

    package func stop() { scheduler.stop() }

    /// The work that the model's towers allow.
    package var works: [BenchmarkWork] {
        BenchmarkWork.allCases.filter { work in
            switch work {
            case .image: model.image != nil
            case .gradient: model.image?.hasGradients == true
            case .text: model.text != nil
            case .text77: model.text != nil && model.options.precision != .int8
            case .preprocess: model.preprocessing != nil && picture != nil
            }
        }
    }

    /// Bytes that all threads' workspaces take, as far as they were used.
    package var activationBytes: Int { workspaceBytes.withLock { $0.values.reduce(0, +) } }

    package var packedBytes: Int { model.bytes }

    package var precision: Precision { model.options.precision }

    /// Nanoseconds by stage, over all threads; empty without a profile.
    package func takeProfile() -> [Stage: UInt64] {
        meters.withLock { meters in
            var total: [Stage: UInt64] = [:]
            for meter in meters.values {
                total.merge(meter.nanoseconds) { $0 + $1 }
                meter.removeAll()
            }
            return total
        }
    }

    /// Floating-point operations of the products that one item really needs.
    package func operations(_ work: BenchmarkWork) -> Int {
        switch work {
        case .image: model.image?.forwardFLOPs ?? 0
        case .gradient: model.image?.gradientFLOPs ?? 0
        case .text: model.text?.forwardFLOPs(tokens: Self.shortTokens) ?? 0
        case .text77: model.text.map { $0.statesFLOPs(tokens: $0.sizes.contextLength) } ?? 0
        case .preprocess: 0
        }
    }

    /// Does the work once; the inputs are made before the clock starts.
    ///
    /// - Returns: seconds.
    /// - Throws: `WireFault` saying why the model cannot do it.
    package func run(_ work: BenchmarkWork, batch: Int) throws(WireFault) -> Double {
        guard works.contains(work) else {
            throw WireFault(
                .badRequest,
                "\(work.rawValue): expected one of "
                    + works.map(\.rawValue).joined(separator: ", ") + " for this model",
                field: "work")
        }
        let stage = try stage(work, batch: batch)
        let answer = Monitor<Result<Double, WireFault>?>(nil)
        let start = monotonicNow()
        try scheduler.submit(
            Job(
                priority: 0, arrival: start, deadline: nil, expense: Expense(),
                plan: { WorkPlan(stages: [stage.work]) { Outcome() } },
                completion: { result, _ in
                    let seconds = Double(monotonicNow() - start) / 1e9
                    answer.update { $0 = result.map { _ in seconds } }
                }))
        let seconds = try answer.wait { $0 }.get()
        if let fault = stage.fault.withLock({ $0 }) { throw fault }
        return seconds
    }

    private static let shortTokens = 10

    private final class Failure: Sendable {
        private let storage = Mutex<WireFault?>(nil)
        func withLock<Value: Sendable>(
            _ body: (inout WireFault?) -> sending Value
        ) -> Value { storage.withLock(body) }
    }

    private func stage(
        _ work: BenchmarkWork, batch: Int
    ) throws(WireFault) -> (work: WorkPlan.Stage, fault: Failure) {
        let fault = Failure()
        let body: @Sendable (Range<Int>, Worker) throws(EncoderError) -> Void
        var group = 1
        switch work {
        case .image, .gradient:
            guard let tower = model.image else { preconditionFailure("checked by run") }
            let images = pixels(batch, size: tower.sizes.imageSize)
            let target = (0..<tower.embeddingWidth).map { Float(($0 * 37) % 19) - 9 }
            group = tower.preferredGroup
            if work == .image {
                body = { items, worker throws(EncoderError) in
                    _ = try tower.embed(
                        images: Array(images[items]), workspace: worker.workspace(for: tower))
                }
            } else {
                body = { items, worker throws(EncoderError) in
                    let workspace = worker.gradientWorkspace(for: tower)
                    for start in stride(
                        from: items.lowerBound, to: items.upperBound, by: workspace.capacity)
                    {
                        let end = min(start + workspace.capacity, items.upperBound)
                        _ = try tower.gradients(
                            Array(images[start..<end]), workspace: workspace
                        ) { _, embedding in BenchmarkBench.cosineGradient(embedding, target) }
                    }
                }
            }
        case .text, .text77:
            guard let tower = model.text else { preconditionFailure("checked by run") }
            let length = work == .text ? Self.shortTokens : tower.sizes.contextLength
            let texts = tokens(batch, length: length, tower.sizes)
            group = tower.preferredGroup
            if work == .text {
                body = { items, worker throws(EncoderError) in
                    _ = try tower.embed(
                        texts: Array(texts[items]), workspace: worker.workspace(for: tower))
                }
            } else {
                let last = tower.sizes.layers
                body = { items, worker throws(EncoderError) in
                    let encodings = try tower.encode(
                        Array(texts[items]), states: [last], pooledAt: nil,
                        workspace: worker.workspace(for: tower))
                    for encoding in encodings { _ = tower.normalized(encoding.states[0]) }
                }
            }
        case .preprocess:
            guard let preprocessing = model.preprocessing, let picture else {
                preconditionFailure("checked by run")
            }
            body = { items, _ throws(EncoderError) in
                for _ in items {
                    let image = picture.withUnsafeBytes { bytes in
                        Result { () throws(EncoderError) in
                            try PNGDecoder.decode(bytes, limits: ImageLimits())
                        }
                    }
                    _ = try preprocessing.pixels(try image.get())
                }
            }
        }
        let stage = WorkPlan.Stage(itemCount: batch, groupSize: group) { [self] items, worker in
            if isProfiled {
                worker.meter = meters.withLock { meters in
                    let meter = meters[worker.index] ?? StageMeter()
                    meters[worker.index] = meter
                    return meter
                }
            }
            do throws(EncoderError) {
                try body(items, worker)
            } catch {
                fault.withLock { $0 = WireFault(error) }
            }
            let bytes = worker.workspaceBytes
            workspaceBytes.withLock { $0[worker.index] = bytes }
        }
        return (stage, fault)
    }

    /// Different images, always the same.
    private func pixels(_ count: Int, size: Int) -> [[Float]] {
        var random = LinearRandom(state: 1)
        return (0..<count).map { _ in
            (0..<3 * size * size).map { _ in 4 * random.next() - 2 }
        }
    }

    /// Rows of different tokens between a start and an end token.
    private func tokens(
        _ count: Int, length: Int, _ sizes: TextTowerSizes
    ) -> [[Int32]] {
        var random = LinearRandom(state: 2)
        // Below the special tokens, which stand at the end of the vocabulary.
        let ordinary = Float(max(sizes.vocabularySize - 300, 1))
        return (0..<count).map { _ in
            [sizes.startToken]
                + (0..<max(length - 2, 0)).map { _ in Int32(random.next() * ordinary) }
                + [sizes.endToken]
        }
    }

    /// d(1 − cos)/d(embedding).
    private static func cosineGradient(_ embedding: [Float], _ target: [Float]) -> [Float] {
        func dot(_ a: [Float], _ b: [Float]) -> Float { zip(a, b).reduce(0) { $0 + $1.0 * $1.1 } }
        let norm = dot(embedding, embedding).squareRoot()
        let length = dot(target, target).squareRoot()
        let cosine = dot(embedding, target) / (norm * length)
        return zip(embedding, target).map { x, t in (cosine * x / norm - t / length) / norm }
    }
}

/// A sequence of numbers from 0 to 1 that depends on nothing.
private struct LinearRandom {
    var state: UInt32

    mutating func next() -> Float {
        state = state &* 1_664_525 &+ 1_013_904_223
        return Float(state >> 8) / Float(1 << 24)
    }
}
