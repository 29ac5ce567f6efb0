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
        0.5 * x * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    }

    /// f′(x) by central differences with one Richardson step: error of order h⁴.
    static func slope(_ f: (Double) -> Double, _ x: Double) -> Double {
        let h = 1e-3
        let coarse = (f(x + 2 * h) - f(x - 2 * h)) / (4 * h)
        let fine = (f(x + h) - f(x - h)) / (2 * h)
        return fine + (fine - coarse) / 3
    }

    private static func statistics(_ x: [Double], _ eps: Double) -> (mean: Double, rstd: Double) {
        let count = Double(x.count)
        let mean = x.reduce(0, +) / count
        let variance = x.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / count
        return (mean, 1 / (variance + eps).squareRoot())
    }
}
