import Encoders
import Glibc

// The kernels once more, as plain loops in double precision.

enum KernelReference {
    static func layerNorm(
        _ x: [Double], gain: [Double], bias: [Double], eps: Double
    ) -> [Double] {
        let (mean, rstd) = statistics(x, eps)
        return x.indices.map { (x[$0] - mean) * rstd * gain[$0] + bias[$0] }
    }

    static func layerNormBackward(
        _ dy: [Double], x: [Double], gain: [Double], eps: Double
    ) -> [Double] {
        let (mean, rstd) = statistics(x, eps)
        let count = Double(x.count)
        let normed = x.map { ($0 - mean) * rstd }
        let g = zip(dy, gain).map { $0 * $1 }
        let meanG = g.reduce(0, +) / count
        let meanGX = zip(g, normed).map { $0 * $1 }.reduce(0, +) / count
        return x.indices.map { rstd * (g[$0] - meanG - normed[$0] * meanGX) }
    }

    static func softmax(_ x: [Double]) -> [Double] {
        let top = x.max() ?? 0
        let e = x.map { exp($0 - top) }
        let sum = e.reduce(0, +)
        return e.map { $0 / sum }
    }

    static func softmaxBackward(_ p: [Double], _ dp: [Double]) -> [Double] {
        let sum = zip(p, dp).map { $0 * $1 }.reduce(0, +)
        return zip(p, dp).map { $0 * ($1 - sum) }
    }

    static func quickGELU(_ x: Double) -> Double { x / (1 + exp(-1.702 * x)) }

    static func gelu(_ x: Double) -> Double { x * 0.5 * erfc(-x / 2.0.squareRoot()) }

    static func geluTanh(_ x: Double) -> Double {
        // (1 + tanh u)/2 without the cancellation where tanh u nears −1.
        x / (1 + exp(-2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    }

    static func activation(_ activation: Activation, _ x: Double) -> Double {
        switch activation {
        case .quickGELU: quickGELU(x)
        case .gelu: gelu(x)
        case .geluTanh: geluTanh(x)
        }
    }

    /// f′(x) by central differences with one Richardson step: error of order h⁴.
    static func slope(_ f: (Double) -> Double, _ x: Double) -> Double {
        let h = 1e-3
        let coarse = (f(x + 2 * h) - f(x - 2 * h)) / (4 * h)
        let fine = (f(x + h) - f(x - h)) / (2 * h)
        return fine + (fine - coarse) / 3
    }

    /// The bits of the bfloat16 nearest to a number that is not NaN, by comparing both neighbours.
    static func bfloat16(_ x: Float) -> UInt16 {
        guard x.isFinite else { return UInt16(x.bitPattern >> 16) }
        let below = UInt16(x.bitPattern >> 16)
        let above = below &+ 1
        func value(_ bits: UInt16) -> Double {
            // One step beyond the largest finite number stands for what it would be.
            let float = Float(bitPattern: UInt32(bits) << 16)
            return float.isFinite ? Double(float) : (float > 0 ? 1 : -1) * 0x1p128
        }
        let (down, up) = (abs(Double(x) - value(below)), abs(Double(x) - value(above)))
        if down != up { return down < up ? below : above }
        return below & 1 == 0 ? below : above
    }

    private static func statistics(_ x: [Double], _ eps: Double) -> (mean: Double, rstd: Double) {
        let count = Double(x.count)
        let mean = x.reduce(0, +) / count
        let variance = x.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / count
        return (mean, 1 / (variance + eps).squareRoot())
    }
}
