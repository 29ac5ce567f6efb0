/// Several steps on x̂0 within one request.
///
/// The state belongs to one image; the same gradients give the same bits.
public struct InnerOptimizer: Sendable {
    /// The raw values are the names that the wire uses.
    public enum Kind: String, CaseIterable, Sendable {
        /// x − rate · ∇
        case sgd
        /// Kingma and Ba 2015, with β 0.9 and 0.999 and ε 10⁻⁸, as torch's defaults.
        case adam
        /// x − rate · ∇ / rms(∇): MPGD's steps, whose length does not depend on the loss' scale.
        case mpgd
    }

    public let kind: Kind
    public let rate: Float
    private var steps = 0
    private var mean: [Float] = []
    private var square: [Float] = []

    public init(_ kind: Kind, rate: Float) {
        self.kind = kind
        self.rate = rate
    }

    /// Moves `x` against its gradient.
    public mutating func step(_ x: inout [Float], gradient: [Float]) {
        precondition(x.count == gradient.count, "a gradient of another image")
        switch kind {
        case .sgd:
            for index in x.indices { x[index] -= rate * gradient[index] }
        case .mpgd:
            let rms = StepRule.rms(gradient)
            guard rms > 0 else { return }
            let factor = Float(Double(rate) / rms)
            for index in x.indices { x[index] -= factor * gradient[index] }
        case .adam:
            adam(&x, gradient)
        }
    }

    private mutating func adam(_ x: inout [Float], _ gradient: [Float]) {
        if steps == 0 {
            mean = [Float](repeating: 0, count: x.count)
            square = mean
        }
        steps += 1
        var (meanBias, squareBias) = (1.0, 1.0)
        for _ in 0..<steps {
            meanBias *= 0.9
            squareBias *= 0.999
        }
        let rootBias = Float((1 - squareBias).squareRoot())
        let size = Float(Double(rate) / (1 - meanBias))
        for index in x.indices {
            mean[index] = 0.9 * mean[index] + 0.1 * gradient[index]
            square[index] = 0.999 * square[index] + 0.001 * gradient[index] * gradient[index]
            x[index] -= size * mean[index] / (square[index].squareRoot() / rootBias + 1e-8)
        }
    }
}
