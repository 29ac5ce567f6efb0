import Glibc

/// The resampling filters of Pillow. The raw values are its codes, which `resample` in
/// `preprocessor_config.json` uses.
public enum Interpolation: Int, Sendable, CaseIterable {
    case nearest = 0
    case lanczos = 1
    case bilinear = 2
    case bicubic = 3
    case box = 4
    case hamming = 5

    /// How far the filter reaches, in output pixels when shrinking and input pixels when growing.
    /// Nearest has no filter.
    var support: Double {
        switch self {
        case .nearest: 0
        case .box: 0.5
        case .bilinear, .hamming: 1
        case .bicubic: 2
        case .lanczos: 3
        }
    }

    /// The weight at a distance from the centre. The expressions follow Pillow's
    /// (libImaging/Resample.c) operation for operation, so that rounding is the same.
    func weight(_ x: Double) -> Double {
        switch self {
        case .nearest:
            return 0
        case .box:
            return x > -0.5 && x <= 0.5 ? 1 : 0
        case .bilinear:
            let distance = abs(x)
            return distance < 1 ? 1 - distance : 0
        case .hamming:
            let distance = abs(x)
            if distance == 0 { return 1 }
            if distance >= 1 { return 0 }
            let angle = distance * Double.pi
            // The constants are single precision there.
            return sin(angle) / angle * (Double(Float(0.54)) + Double(Float(0.46)) * cos(angle))
        case .bicubic:
            // Keys' cubic with a = −1/2.
            let a = -0.5
            let distance = abs(x)
            if distance < 1 {
                return ((a + 2) * distance - (a + 3)) * distance * distance + 1
            }
            if distance < 2 {
                return (((distance - 5) * distance + 8) * distance - 4) * a
            }
            return 0
        case .lanczos:
            guard x >= -3, x < 3 else { return 0 }
            return Self.sinc(x) * Self.sinc(x / 3)
        }
    }

    private static func sinc(_ x: Double) -> Double {
        if x == 0 { return 1 }
        let angle = x * Double.pi
        return sin(angle) / angle
    }
}

/// One direction of a resize as a sparse matrix: output i of the window is the sum of
/// `weights[i * stride + t] * input[starts[i] + t]` for t in `0 ..< counts[i]`.
package struct ResampleTaps: Sendable {
    package var starts: [Int32] = []
    package var counts: [Int32] = []
    package var weights: [Double] = []
    package var stride = 0

    package init() {}

    /// The input positions that any output reads.
    package var reach: Range<Int> {
        guard let first = starts.min() else { return 0..<0 }
        var last = 0
        for (start, count) in zip(starts, counts) { last = max(last, Int(start) + Int(count)) }
        return Int(first)..<last
    }

    /// The same rows for an input whose first `offset` samples were cut off.
    func shifted(by offset: Int) -> ResampleTaps {
        var result = self
        if offset != 0 { result.starts = starts.map { $0 - Int32(offset) } }
        return result
    }

    /// The outputs `window` of a resize from `input` to `resized` samples (antialiased: the filter
    /// widens with the ratio when shrinking), as Pillow computes them.
    package init(_ filter: Interpolation, input: Int, resized: Int, window: Range<Int>) {
        if filter == .nearest {
            takeNearest(input: input, resized: resized, window: window)
            return
        }
        let scale = Double(input) / Double(resized)
        let widening = max(scale, 1)
        let support = filter.support * widening
        let inverse = 1 / widening
        func bounds(_ output: Int) -> (center: Double, first: Int, last: Int) {
            let center = (Double(output) + 0.5) * scale
            // Truncation towards zero, then the clamp: the order is Pillow's.
            return (
                center, max(0, Int(center - support + 0.5)), min(input, Int(center + support + 0.5))
            )
        }
        starts.reserveCapacity(window.count)
        counts.reserveCapacity(window.count)
        for output in window {
            let (_, first, last) = bounds(output)
            starts.append(Int32(first))
            counts.append(Int32(max(0, last - first)))
            stride = max(stride, last - first)
        }
        weights = [Double](repeating: 0, count: window.count * stride)
        for (row, output) in window.enumerated() {
            let (center, first, last) = bounds(output)
            var sum = 0.0
            for position in first..<max(first, last) {
                let weight = filter.weight((Double(position) - center + 0.5) * inverse)
                weights[row * stride + position - first] = weight
                sum += weight
            }
            if sum != 0 {
                for tap in 0..<Int(counts[row]) { weights[row * stride + tap] /= sum }
            }
        }
    }

    /// Pillow's nearest neighbour walks by repeated addition, and its rounding shows in large
    /// images; so does this.
    private mutating func takeNearest(input: Int, resized: Int, window: Range<Int>) {
        let step = Double(input) / Double(resized)
        var position = step * 0.5
        for output in 0..<window.upperBound {
            if output >= window.lowerBound { starts.append(Int32(min(Int(position), input - 1))) }
            position += step
        }
        counts = [Int32](repeating: 1, count: window.count)
        weights = [Double](repeating: 1, count: window.count)
        stride = 1
    }

    /// The weights in Pillow's fixed point: 22 bits after the point, rounded half away from zero.
    var fixedPoint: [Int32] {
        weights.map { weight in
            let scaled = weight * Double(1 << 22)
            return Int32(weight < 0 ? scaled - 0.5 : scaled + 0.5)
        }
    }
}
