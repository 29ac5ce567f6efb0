import CKernels

/// Preprocessing without rounding: resize, crop and normalisation of a float image as one linear
/// map (and a constant), with its exact transpose.
///
/// The reference is torch's `interpolate(mode: "bicubic", antialias: True, align_corners: False)`
/// to the size that the profile's resize gives, then the profile's crop, then (x − mean)/std.
/// Nothing is rounded to 8 bits or clamped. A configuration that names another filter gets that
/// filter's continuous form.
///
/// The map is separable: A = V ⊗ H, two sparse matrices with a few taps a row, computed for the
/// rows and columns of the crop only.
public struct DifferentiablePreprocessing: Sendable {
    public let inputHeight: Int
    public let inputWidth: Int
    public let outputHeight: Int
    public let outputWidth: Int

    private let rows: SparseAxis
    private let columns: SparseAxis
    /// Output = gain · resized + bias, per channel; padding has `bias + gain · fill`.
    private let gain: [Float]
    private let bias: [Float]
    private let fill: Float

    /// - Parameters:
    ///   - height, width: of the images to come.
    /// - Throws: `EncoderError.image` when an image of this size cannot take the configured steps.
    public init(
        _ preprocessing: ImagePreprocessing, height: Int, width: Int
    ) throws(EncoderError) {
        // Positions are kept in 32 bits.
        guard (1...1 << 30).contains(height), (1...1 << 30).contains(width) else {
            throw .image(
                expected: "a width and a height of 1 to \(1 << 30)",
                actual: "\(width) × \(height)")
        }
        let (rowPlan, columnPlan) = try preprocessing.plans(height: height, width: width)
        rows = SparseAxis(rowPlan, preprocessing.interpolation)
        columns = SparseAxis(columnPlan, preprocessing.interpolation)
        (inputHeight, inputWidth) = (height, width)
        (outputHeight, outputWidth) = (preprocessing.height, preprocessing.width)

        // The input is 0…1 where the byte path has 0…255, of which a factor of 1/255 makes 0…1.
        let factor = preprocessing.rescaleFactor.map { $0 == 1 / 255 ? 1 : $0 * 255 } ?? 255
        let mean = preprocessing.mean ?? [0, 0, 0]
        let std = preprocessing.std ?? [1, 1, 1]
        gain = std.map { Float(factor / Double($0)) }
        bias = zip(mean, std).map { -$0 / $1 }
        fill = Float(preprocessing.fill) / 255
    }

    /// The normalised input of the tower.
    ///
    /// - Parameter image: `[3, inputHeight, inputWidth]`, nominally 0…1 and not clamped.
    /// - Returns: `[3, outputHeight, outputWidth]`.
    public func forward(_ image: [Float]) -> [Float] {
        precondition(image.count == 3 * inputHeight * inputWidth, "image of another size")
        let (area, outputArea) = (inputHeight * inputWidth, outputHeight * outputWidth)
        let (reach, band) = (columns.reach, Self.band)
        let corner = rows.padding * outputWidth + columns.padding
        let room = columns.scratch
        return [Float](unsafeUninitializedCapacity: 3 * outputArea) { output, count in
            // Rows first: that pass runs along contiguous memory and leaves the other little to do.
            // A band of their results at a time, which stays in the cache until it is used.
            image.withUnsafeBufferPointer { image in
                withUnsafeTemporaryAllocation(
                    of: Float.self, capacity: band * reach.count + room
                ) { memory in
                    guard let source = image.baseAddress, let target = output.baseAddress,
                        let strip = memory.baseAddress
                    else { return }
                    for channel in 0..<3 {
                        let plane = target + channel * outputArea
                        if rows.window.count < outputHeight || columns.window.count < outputWidth {
                            plane.update(
                                repeating: gain[channel] * fill + bias[channel], count: outputArea)
                        }
                        for row in stride(from: 0, to: rows.window.count, by: band) {
                            let part = row..<min(row + band, rows.window.count)
                            rows.combineAcross(
                                source + channel * area + reach.lowerBound, stride: inputWidth,
                                width: reach.count, outputs: part, into: strip,
                                stride: reach.count)
                            columns.combineAlong(
                                strip, stride: reach.count, rows: part.count, gain: gain[channel],
                                bias: bias[channel], scratch: strip + band * reach.count,
                                into: plane + corner + row * outputWidth, stride: outputWidth)
                        }
                    }
                }
            }
            count = 3 * outputArea
        }
    }

    /// Rows between the two passes at a time; a multiple of the lanes that the second one takes.
    private static let band = 16

    /// The transpose of `forward`'s linear part: d(loss)/d(pixels) to d(loss)/d(image).
    ///
    /// - Parameter dPixels: `[3, outputHeight, outputWidth]`.
    /// - Returns: `[3, inputHeight, inputWidth]`; zero where the crop sees nothing.
    public func backward(_ dPixels: [Float]) -> [Float] {
        precondition(dPixels.count == 3 * outputHeight * outputWidth, "gradient of another size")
        let (area, outputArea) = (inputHeight * inputWidth, outputHeight * outputWidth)
        let corner = rows.padding * outputWidth + columns.padding
        let (dRows, dColumns) = (rows.transposed, columns.transposed)
        let (height, width) = (rows.window.count, columns.reach.count)
        let isSeenWhole = rows.reach.count == inputHeight && width == inputWidth
        let start = rows.reach.lowerBound * inputWidth + columns.reach.lowerBound
        let room = dColumns.scratch
        return [Float](unsafeUninitializedCapacity: 3 * area) { dImage, count in
            dPixels.withUnsafeBufferPointer { dPixels in
                withUnsafeTemporaryAllocation(of: Float.self, capacity: height * width + room) {
                    memory in
                    guard let source = dPixels.baseAddress, let target = dImage.baseAddress,
                        let dStrip = memory.baseAddress
                    else { return }
                    if !isSeenWhole { target.update(repeating: 0, count: 3 * area) }
                    for channel in 0..<3 {
                        dColumns.combineAlong(
                            source + channel * outputArea + corner, stride: outputWidth,
                            rows: height, gain: gain[channel], bias: 0,
                            scratch: dStrip + height * width, into: dStrip, stride: width)
                        dRows.combineAcross(
                            dStrip, stride: width, width: width, outputs: 0..<dRows.count,
                            into: target + channel * area + start, stride: inputWidth)
                    }
                }
            }
            count = 3 * area
        }
    }
}

/// One direction of the resize of a plan, and its transpose.
private struct SparseAxis: Sendable {
    let window: Range<Int>
    let padding: Int
    /// The input positions that any output reads.
    let reach: Range<Int>
    private let forward: SparseMatrix
    /// From the window's samples to those in reach.
    let transposed: SparseMatrix

    init(_ plan: AxisPlan, _ interpolation: Interpolation) {
        // An unchanged side is the identity, which the filters give as well, with more taps.
        let filter = plan.input == plan.resized ? .nearest : interpolation
        let taps = ResampleTaps(
            filter, input: plan.input, resized: plan.resized, window: plan.window)
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

/// A sparse matrix of single precision whose rows are runs of neighbours: output i is the sum of
/// `weights[i * stride + t] * input[starts[i] + t]` for t in `0 ..< counts[i]`.
private struct SparseMatrix: Sendable {
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
