import Glibc
import System

/// Proof that a loaded model computes what it should on this machine: for `guidanced verify`, and
/// for readiness.
public enum ModelSelfCheck {
    /// One thing that was measured.
    public struct Check: Sendable, Equatable {
        public let name: String
        /// What was measured, in the words of `meaning`.
        public let value: Double
        /// The largest value that passes.
        public let limit: Double
        /// What the value is, for people.
        public let meaning: String
        /// Not a number never passes.
        public var passed: Bool { value <= limit }
    }

    /// Runs every check that the model's towers allow: canary embeddings, independence of earlier
    /// work and of the thread, and the gradient against finite differences.
    ///
    /// The input is drawn from `seed` alone. Costs about twenty forward passes an image tower, and six
    /// a text tower.
    ///
    /// - Throws: `EncoderError` when a tower refuses the canary, which is itself a failure.
    public static func run(
        _ model: CLIPModel, seed: UInt64 = 1
    ) throws(EncoderError) -> [Check] {
        var checks: [Check] = []
        if let image = model.image {
            let probe = ImageProbe(tower: image, seed: seed)
            var embeddings: [[Float]] = []
            for pixels in probe.inputs { embeddings.append(try probe.embed(pixels)) }
            checks += canary("image", embeddings)
            checks.append(try probe.invariance())
            checks.append(try probe.gradientInvariance())
            checks.append(try probe.gradientAgainstDifferences(seed: seed))
        }
        if let text = model.text {
            let probe = try TextProbe(tower: text, tokenizer: model.tokenizer)
            var embeddings: [[Float]] = []
            for tokens in probe.inputs { embeddings.append(try probe.embed(tokens)) }
            checks += canary("text", embeddings)
            checks.append(try probe.invariance())
        }
        return checks
    }

    /// Embeddings must be finite, have a direction, and differ between different inputs.
    private static func canary(_ name: String, _ embeddings: [[Float]]) -> [Check] {
        let strange = embeddings.joined().count { !$0.isFinite }
        var worst = 0.0
        var units: [[Double]] = []
        for embedding in embeddings {
            let norm = embedding.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
            let unit = embedding.map { Double($0) / norm }
            worst = max(worst, abs(1 - unit.reduce(0) { $0 + $1 * $1 }.squareRoot()))
            if norm == 0 || !norm.isFinite { worst = .infinity }
            units.append(unit)
        }
        let cosine = zip(units[0], units[1]).reduce(0) { $0 + $1.0 * $1.1 }
        return [
            Check(
                name: "\(name) canary is finite", value: Double(strange), limit: 0,
                meaning: "values that are NaN or infinite"),
            Check(
                name: "\(name) canary has unit norm", value: worst, limit: 1e-6,
                meaning: "deviation from 1 once normalised"),
            Check(
                name: "\(name) canaries differ", value: cosine, limit: 1 - 1e-6,
                meaning: "cosine between two different inputs"),
        ]
    }

    /// How many values of `result` are not bit for bit those of `expected`.
    fileprivate static func differences(_ expected: [Float], _ result: [Float]) -> Int {
        guard expected.count == result.count else { return max(expected.count, result.count) }
        return zip(expected, result).count { $0.bitPattern != $1.bitPattern }
    }
}

/// Pixels and a tower to try them on.
private struct ImageProbe: Sendable {
    let tower: any ImageTower
    /// Noise, and a smooth ramp: [3, S, S] each.
    let inputs: [[Float]]

    init(tower: any ImageTower, seed: UInt64) {
        self.tower = tower
        let size = tower.sizes.imageSize
        var noise = NormalSource(seed: seed)
        let random = (0..<3 * size * size).map { _ in noise.next() }
        let ramp = (0..<3 * size * size).map { index in
            2 * Float(index % size) / Float(size) - Float(index / size % size) / Float(size)
        }
        inputs = [random, ramp]
    }

    func embed(_ pixels: [Float]) throws(EncoderError) -> [Float] {
        try tower.embed(pixels, workspace: tower.makeWorkspace())
    }

    func invariance() throws(EncoderError) -> ModelSelfCheck.Check {
        let expected = try embed(inputs[0])
        let workspace = tower.makeWorkspace()
        _ = try tower.embed(inputs[1], workspace: workspace)
        var count = ModelSelfCheck.differences(
            expected, try tower.embed(inputs[0], workspace: workspace))
        for result in onOtherThreads(2, { try? embed(inputs[0]) }) {
            count += ModelSelfCheck.differences(expected, result ?? [])
        }
        return ModelSelfCheck.Check(
            name: "image embedding repeats", value: Double(count), limit: 0,
            meaning: "values that differ in a used workspace or on another thread")
    }

    func gradientInvariance() throws(EncoderError) -> ModelSelfCheck.Check {
        let direction = [Float](repeating: 1, count: tower.embeddingWidth)
        let workspace = tower.makeWorkspace()
        let first = try tower.gradient(inputs[0], workspace: workspace) { _ in direction }
        _ = try tower.gradient(inputs[1], workspace: workspace) { _ in direction }
        let again = try tower.gradient(inputs[0], workspace: workspace) { _ in direction }
        let plain = try embed(inputs[0])
        let count =
            ModelSelfCheck.differences(first.dPixels, again.dPixels)
            + ModelSelfCheck.differences(plain, first.embedding)
        return ModelSelfCheck.Check(
            name: "image gradient repeats", value: Double(count), limit: 0,
            meaning: "values that differ in a used workspace, or from the forward pass alone")
    }

    /// The gradient of ⟨c, embedding⟩ for a random c, against central differences along the gradient
    /// itself and along random directions in every sixth of the pixels.
    func gradientAgainstDifferences(seed: UInt64) throws(EncoderError) -> ModelSelfCheck.Check {
        var noise = NormalSource(seed: seed &+ 1)
        let functional = (0..<tower.embeddingWidth).map { _ in noise.next() }
        let workspace = tower.makeWorkspace()
        let pixels = inputs[0]
        let gradient = try tower.gradient(pixels, workspace: workspace) { _ in functional }.dPixels
        func value(_ direction: [Float], _ step: Float) throws(EncoderError) -> Double {
            let moved = zip(pixels, direction).map { $0 + step * $1 }
            return dot(functional, try tower.embed(moved, workspace: workspace))
        }
        let length = dot(gradient, gradient).squareRoot()
        let size = dot(functional, functional).squareRoot()
        guard length > 0, length.isFinite else {
            return check(value: .infinity)
        }
        // A change of the functional by about 1 %: far above rounding, far below curvature.
        let embedding = try embed(pixels)
        let scale = dot(embedding, embedding).squareRoot() * size
        let step = Float(min(0.003 * scale / length, 1))
        var worst = 0.0
        let parts = 6
        for part in 0..<parts {
            var direction = [Float](repeating: 0, count: pixels.count)
            if part == 0 {
                direction = gradient.map { $0 / Float(length) }
            } else {
                for index in stride(from: part, to: pixels.count, by: parts) {
                    direction[index] = noise.next() + gradient[index] / Float(length) * 30
                }
                let norm = dot(direction, direction).squareRoot()
                direction = direction.map { $0 / Float(norm) }
            }
            let measured = try (value(direction, step) - value(direction, -step)) / Double(2 * step)
            worst = max(worst, abs(measured - dot(gradient, direction)) / length)
        }
        return check(value: worst)
    }

    private func check(value: Double) -> ModelSelfCheck.Check {
        ModelSelfCheck.Check(
            name: "image gradient against differences", value: value, limit: 1e-2,
            meaning: "largest error along six directions, relative to the gradient's length")
    }
}

/// Token rows and a tower to try them on.
private struct TextProbe: Sendable {
    let tower: any TextTower
    let inputs: [[Int32]]

    init(tower: any TextTower, tokenizer: BytePairTokenizer?) throws(EncoderError) {
        self.tower = tower
        let sizes = tower.sizes
        if let tokenizer {
            var rows: [[Int32]] = []
            for text in ["a photo of a cat", "a small green star"] {
                rows.append(
                    try tokenizer.tokenize(
                        text, contextLength: sizes.contextLength, overflow: .truncate
                    ).tokens)
            }
            inputs = rows
        } else {
            // Any two contents will do; ids below both special tokens.
            let content = max(1, min(sizes.startToken, sizes.endToken))
            inputs = [0, 1].map { [sizes.startToken, $0 % content, sizes.endToken] }
        }
    }

    func embed(_ tokens: [Int32]) throws(EncoderError) -> [Float] {
        try tower.embed(tokens: tokens, workspace: tower.makeWorkspace())
    }

    func invariance() throws(EncoderError) -> ModelSelfCheck.Check {
        let expected = try embed(inputs[0])
        let workspace = tower.makeWorkspace()
        _ = try tower.embed(tokens: inputs[1], workspace: workspace)
        var count = ModelSelfCheck.differences(
            expected, try tower.embed(tokens: inputs[0], workspace: workspace))
        for result in onOtherThreads(2, { try? embed(inputs[0]) }) {
            count += ModelSelfCheck.differences(expected, result ?? [])
        }
        return ModelSelfCheck.Check(
            name: "text embedding repeats", value: Double(count), limit: 0,
            meaning: "values that differ in a used workspace or on another thread")
    }
}

/// ⟨a, b⟩ in double precision.
private func dot(_ a: [Float], _ b: [Float]) -> Double {
    zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
}

/// Seeded normal numbers (Box and Muller 1958) from splitmix64.
private struct NormalSource {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> Float {
        let radius = (-2 * log(1 - uniform())).squareRoot()
        return Float(radius * cos(2 * Double.pi * uniform()))
    }

    private mutating func uniform() -> Double {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return Double((mixed ^ mixed >> 31) >> 11) * 0x1p-53
    }
}
