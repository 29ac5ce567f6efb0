import Glibc

// How torch 2.13 resizes on a CPU (aten/src/ATen/native/cpu/UpSampleKernel.cpp, antialiased): the same
// filters as Pillow, other arithmetic. Columns always come before rows.

extension ResampleTaps {
    /// The weights as torch applies them to bytes: as many bits as sixteen hold of the largest, rounded
    /// half away from zero; here shifted to the 22 bits after the point that the kernels take, which
    /// changes no result.
    ///
    /// - Parameter largest: the largest weight of the whole axis, not of the window alone.
    func torchFixedPoint(largest: Double) -> [Int32] {
        let bits = (0..<22).first { Int(0.5 + largest * Double(1 << ($0 + 1))) >= 1 << 15 } ?? 21
        return weights.map { weight in
            let scaled = weight * Double(1 << bits)
            return Int32(weight < 0 ? scaled - 0.5 : scaled + 0.5) << Int32(22 - bits)
        }
    }

    /// The largest weight of an axis. Of a very long one only both ends and `window` are looked at: what
    /// lies between repeats them.
    static func largestWeight(_ filter: Interpolation, _ plan: AxisPlan) -> Double {
        let long = 1 << 14
        let ends = 64
        let windows =
            plan.resized <= long
            ? [0..<plan.resized]
            : [0..<ends, plan.window, plan.resized - ends..<plan.resized]
        return windows.map {
            ResampleTaps(filter, input: plan.input, resized: plan.resized, window: $0).weights.max()
                ?? 0
        }.max() ?? 0
    }

    /// torch's `nearest-exact`: the sample under the centre of each output, in single precision.
    init(nearestExact plan: AxisPlan) {
        let scale = Float(plan.input) / Float(plan.resized)
        starts = plan.window.map { output in
            let position = Float((Double(output) + 0.5) * Double(scale)).rounded(.down)
            return Int32(min(Int(position), plan.input - 1))
        }
        counts = [Int32](repeating: 1, count: starts.count)
        weights = [Double](repeating: 1, count: starts.count)
        stride = 1
    }
}

/// One direction of torch's antialiased bicubic resize of floats: weights in single precision.
struct TorchFloatTaps {
    let starts: [Int]
    let counts: [Int]
    let weights: [Float]
    let stride: Int

    /// The input positions that any output reads.
    var reach: Range<Int> {
        guard let first = starts.min() else { return 0..<0 }
        return first..<(zip(starts, counts).map { $0 + $1 }.max() ?? first)
    }

    /// - Parameter plan: an axis whose length changes.
    init(_ plan: AxisPlan) {
        let scale = Float(plan.input) / Float(plan.resized)
        let support = scale >= 1 ? 2 * scale : 2
        let inverse = scale >= 1 ? 1 / scale : 1
        let most = Int(support.rounded(.up)) * 2 + 1
        var starts: [Int] = []
        var counts: [Int] = []
        var weights: [Float] = []
        for output in plan.window {
            let center = Float(Double(scale) * (Double(output) + 0.5))
            let first = max(Int(Double(center - support) + 0.5), 0)
            let end = min(Int(Double(center + support) + 0.5), plan.input)
            let count = min(max(end - first, 0), most)
            var row = (0..<count).map { tap in
                Self.weight(
                    Float((Double(Float(first + tap) - center) + 0.5) * Double(inverse)))
            }
            let sum = row.reduce(0, +)
            if sum != 0 { row = row.map { $0 / sum } }
            starts.append(first)
            counts.append(count)
            weights += row + [Float](repeating: 0, count: most - count)
        }
        (self.starts, self.counts, self.weights, stride) = (starts, counts, weights, most)
    }

    /// Keys' cubic with a = −1/2, its multiplications and additions fused where torch's compiler fuses
    /// them.
    private static func weight(_ x: Float) -> Float {
        let x = abs(x)
        let a: Float = -0.5
        if x < 1 {
            let inner = (-(a + 3)).addingProduct(a + 2, x) * x
            return Float(1).addingProduct(inner, x)
        }
        guard x < 2 else { return 0 }
        return (-4 * a).addingProduct(
            (8 * a).addingProduct((-5 * a).addingProduct(a, x), x), x)
    }
}

/// A resized image in floats: height × width × channels, interleaved.
struct FloatRaster {
    let width: Int
    let height: Int
    let channels: Int
    let values: [Float]

    /// Bytes as 0…1, resized as torch's `interpolate(mode="bicubic", antialias=True)` does it, bit for
    /// bit, and of that the windows of the plans.
    static func resizing(_ image: Raster, columns: AxisPlan, rows: AxisPlan) -> FloatRaster {
        let vertical = rows.resized == rows.input ? nil : TorchFloatTaps(rows)
        let neededRows = vertical?.reach ?? rows.window
        let strip = along(image, columns, rows: neededRows)
        guard let vertical else { return strip }
        return strip.across(vertical, offset: neededRows.lowerBound)
    }

    /// Bytes: 255 times the values, clipped and rounded half to even.
    var bytes: Raster {
        Raster(
            width: width, height: height, channels: channels,
            bytes: values.map {
                UInt8(min(max(255 * $0, 0), 255).rounded(.toNearestOrEven))
            })
    }

    private static func along(
        _ image: Raster, _ plan: AxisPlan, rows: Range<Int>
    ) -> FloatRaster {
        let taps = plan.resized == plan.input ? nil : TorchFloatTaps(plan)
        let reach = taps?.reach ?? plan.window
        let table = (0...255).map { Float($0) / 255 }
        let channels = image.channels
        var result: [Float] = []
        result.reserveCapacity(plan.window.count * rows.count * channels)
        var line = [Float](repeating: 0, count: reach.count * channels)
        for row in rows {
            let start = (row * image.width + reach.lowerBound) * channels
            for place in line.indices { line[place] = table[Int(image.bytes[start + place])] }
            guard let taps else {
                result += line
                continue
            }
            line.withUnsafeBufferPointer { line in
                for index in taps.starts.indices {
                    let first = (taps.starts[index] - reach.lowerBound) * channels
                    for channel in 0..<channels {
                        result.append(
                            sum(line, from: first + channel, step: channels, taps, index))
                    }
                }
            }
        }
        return FloatRaster(
            width: plan.window.count, height: rows.count, channels: channels, values: result)
    }

    private func across(_ taps: TorchFloatTaps, offset: Int) -> FloatRaster {
        let row = width * channels
        let count = taps.starts.count * row
        let result = [Float](unsafeUninitializedCapacity: count) { output, initialized in
            initialized = count
            values.withUnsafeBufferPointer { input in
                for index in 0..<taps.starts.count {
                    let start = (taps.starts[index] - offset) * row
                    for place in 0..<row {
                        output[index * row + place] = Self.sum(
                            input, from: start + place, step: row, taps, index)
                    }
                }
            }
        }
        return FloatRaster(
            width: width, height: taps.starts.count, channels: channels, values: result)
    }

    /// The first product, then four at a time multiplied and added, then what is left fused: the order
    /// in which torch's loop runs on x86-64 processors with AVX2 or more.
    @inline(__always)
    private static func sum(
        _ input: UnsafeBufferPointer<Float>, from start: Int, step: Int, _ taps: TorchFloatTaps,
        _ output: Int
    ) -> Float {
        let (count, weight) = (taps.counts[output], output * taps.stride)
        guard count > 0 else { return 0 }
        var sum = input[start] * taps.weights[weight]
        let fours = 1 + (count - 1) / 4 * 4
        for tap in 1..<fours { sum += input[start + tap * step] * taps.weights[weight + tap] }
        for tap in fours..<count {
            sum.addProduct(input[start + tap * step], taps.weights[weight + tap])
        }
        return sum
    }
}
