import Glibc

/// The gradient of a smoothed log-density from noisy copies of an image.
///
/// With ℓ = −loss: ℓ̃(x) = log Σₖ exp ℓ(x + σ·zₖ) − log K, as TFG (`methods/tfg.py`) and LGD smooth what
/// they climb. Its gradient is that of the copies, weighted by softmax ℓₖ.
public enum MonteCarloSmoothing {
    /// - Parameter losses: of the copies, [K], at least one.
    /// - Returns: the smoothed loss −ℓ̃, and each copy's weight in the gradient, [K], summing to 1.
    public static func combine(_ losses: [Float]) -> (loss: Float, weights: [Float]) {
        precondition(!losses.isEmpty, "no copies")
        // The greatest ℓ first, so that nothing overflows.
        let least = losses.reduce(Double.infinity) { min($0, Double($1)) }
        let exponentials = losses.map { exp(least - Double($0)) }
        let sum = exponentials.reduce(0, +)
        let smoothed = least - log(sum / Double(losses.count))
        return (Float(smoothed), exponentials.map { Float($0 / sum) })
    }
}
