internal import CKernels
internal import Encoders

/// One direction of a resampling as a sparse matrix, and its transpose.
struct SparseAxis: Sendable {
    /// The outputs that are computed; around them there is padding.
    let window: Range<Int>
    /// Outputs before the first of the window.
    let padding: Int
    /// The input positions that any output reads.
    let reach: Range<Int>
    private let forward: SparseMatrix
    /// From the window's samples to those in reach.
    let transposed: SparseMatrix

    init(_ axis: Resampling.Axis, _ filter: ResizeFilter) {
        let plan = AxisPlan(
            input: axis.source.count, resized: axis.resized, output: axis.output,
            offset: axis.offset)
        var taps =
            switch filter {
            // An unchanged side is the identity, which the filters give as well, with more taps.
            case _ where plan.input == plan.resized:
                ResampleTaps(
                    .nearest, input: plan.input, resized: plan.resized, window: plan.window)
            case .interpolation(let interpolation):
                ResampleTaps(
                    interpolation, input: plan.input, resized: plan.resized, window: plan.window)
            case .area:
                ResampleTaps(
                    areaOf: plan.input, resized: plan.resized, window: plan.window)
            }
        taps.move(by: axis.source.lowerBound, within: axis.input)
        window = plan.window
        padding = plan.padding
        reach = taps.reach
        forward = SparseMatrix(taps)
        transposed = SparseMatrix(transposing: taps, reach: taps.reach)
    }

    /// Floats of scratch memory that `combineAlong` needs.
    var scratch: Int { gk_resize_along_scratch(reach.count, forward.count) }

    /// As the matrix does, from input that starts at `reach`'s first column.
    func combineAlong(
        _ input: UnsafePointer<Float>, stride: Int, rows: Int, gain: Float, bias: Float,
        scratch: UnsafeMutablePointer<Float>, into output: UnsafeMutablePointer<Float>,
        stride outputStride: Int
    ) {
        forward.combineAlong(
            input, stride: stride, rows: rows, columns: reach, gain: gain, bias: bias,
            scratch: scratch, into: output, stride: outputStride)
    }

    func combineAcross(
        _ input: UnsafePointer<Float>, stride: Int, width: Int, outputs: Range<Int>,
        into output: UnsafeMutablePointer<Float>, stride outputStride: Int
    ) {
        forward.combineAcross(
            input, stride: stride, width: width, outputs: outputs, into: output,
            stride: outputStride)
    }
}

extension ResampleTaps {
    /// The outputs `window` of means over neighbours; see `ResizeFilter.area`.
    fileprivate init(areaOf input: Int, resized: Int, window: Range<Int>) {
        self.init()
        func bounds(_ output: Int) -> Range<Int> {
            output * input / resized..<((output + 1) * input + resized - 1) / resized
        }
        stride = window.map { bounds($0).count }.max() ?? 0
        for output in window {
            let range = bounds(output)
            starts.append(Int32(range.lowerBound))
            counts.append(Int32(range.count))
            weights += (0..<stride).map { $0 < range.count ? 1 / Double(range.count) : 0 }
        }
    }

    /// Moves the inputs and leaves out those that are then outside 0 ..< `input`, as if they were zeros.
    fileprivate mutating func move(by distance: Int, within input: Int) {
        for row in starts.indices {
            let start = Int(starts[row]) + distance
            let kept = (start..<start + Int(counts[row])).clamped(to: 0..<input)
            let dropped = kept.lowerBound - start
            if dropped > 0 {
                for tap in kept.indices {
                    let place = row * stride + tap - kept.lowerBound
                    weights[place] = weights[place + dropped]
                }
            }
            starts[row] = Int32(kept.lowerBound)
            counts[row] = Int32(kept.count)
        }
    }
}

/// A sparse matrix of single precision whose rows are runs of neighbours: output i is the sum of
/// `weights[i * stride + t] * input[starts[i] + t]` for t in `0 ..< counts[i]`.
struct SparseMatrix: Sendable {
    private let starts: [Int32]
    private let counts: [Int32]
    private let weights: [Float]
    private let stride: Int
    /// Outputs.
    var count: Int { starts.count }
    /// Inputs, of a matrix that starts at the first.
    private let inputs: Int

    init(_ taps: ResampleTaps) {
        starts = taps.starts
        counts = taps.counts
        weights = taps.weights.map { Float($0) }
        stride = taps.stride
        inputs = taps.reach.upperBound
    }

    /// The transpose: outputs are the positions of `reach`, inputs the outputs of `taps`. Both ends of
    /// the runs grow from one output to the next, so that the transpose has runs too.
    init(transposing taps: ResampleTaps, reach: Range<Int>) {
        var starts = [Int32](repeating: 0, count: reach.count)
        var counts = starts
        for output in taps.starts.indices {
            let first = Int(taps.starts[output]) - reach.lowerBound
            for position in first..<first + Int(taps.counts[output]) {
                if counts[position] == 0 { starts[position] = Int32(output) }
                counts[position] = Int32(output) - starts[position] + 1
            }
        }
        let stride = Int(counts.max() ?? 0)
        var weights = [Float](repeating: 0, count: stride * reach.count)
        for output in taps.starts.indices {
            for tap in 0..<Int(taps.counts[output]) {
                let position = Int(taps.starts[output]) + tap - reach.lowerBound
                weights[position * stride + output - Int(starts[position])] =
                    Float(taps.weights[output * taps.stride + tap])
            }
        }
        self.starts = starts
        self.counts = counts
        self.weights = weights
        self.stride = stride
        inputs = taps.starts.count
    }

    /// Floats of scratch memory that `combineAlong` over all inputs needs.
    var scratch: Int { gk_resize_along_scratch(inputs, count) }

    /// output[r, i] = gain · Σ_t weights[i, t] · input[r, starts[i] + t] + bias; `input` starts at
    /// column `columns.lowerBound`, all of them without `columns`.
    func combineAlong(
        _ input: UnsafePointer<Float>, stride inputStride: Int, rows: Int,
        columns: Range<Int>? = nil, gain: Float, bias: Float,
        scratch: UnsafeMutablePointer<Float>, into output: UnsafeMutablePointer<Float>,
        stride outputStride: Int
    ) {
        let columns = columns ?? 0..<inputs
        withTaps(0..<count) {
            gk_resize_along(
                input, inputStride, rows, columns.lowerBound, columns.count, $0, gain, bias,
                scratch, output, outputStride)
        }
    }

    /// output[i, x] = Σ_t weights[i, t] · input[starts[i] + t, x] for i in `outputs`.
    func combineAcross(
        _ input: UnsafePointer<Float>, stride inputStride: Int, width: Int, outputs: Range<Int>,
        into output: UnsafeMutablePointer<Float>, stride outputStride: Int
    ) {
        withTaps(outputs) {
            gk_resize_across(input, inputStride, width, $0, output, outputStride)
        }
    }

    private func withTaps(_ outputs: Range<Int>, _ body: (gk_float_taps) -> Void) {
        starts.withUnsafeBufferPointer { starts in
            counts.withUnsafeBufferPointer { counts in
                weights.withUnsafeBufferPointer { weights in
                    guard let starts = starts.baseAddress, let counts = counts.baseAddress,
                        let weights = weights.baseAddress
                    else { return }
                    body(
                        gk_float_taps(
                            starts: starts + outputs.lowerBound,
                            counts: counts + outputs.lowerBound,
                            weights: weights + outputs.lowerBound * stride, stride: stride,
                            outputs: outputs.count))
                }
            }
        }
    }
}
