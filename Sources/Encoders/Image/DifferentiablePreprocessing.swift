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
        var output = [Float](repeating: 0, count: 3 * outputHeight * outputWidth)
        // Rows first: that pass runs along contiguous memory and leaves the other little to do.
        var strip = [Float](repeating: 0, count: rows.window.count * columns.reach.count)
        image.withUnsafeBufferPointer { image in
            output.withUnsafeMutableBufferPointer { output in
                strip.withUnsafeMutableBufferPointer { strip in
                    for channel in 0..<3 {
                        combineRows(image, channel: channel, into: strip)
                        combineColumns(strip, channel: channel, into: output)
                    }
                }
            }
        }
        return output
    }

    /// The transpose of `forward`'s linear part: d(loss)/d(pixels) to d(loss)/d(image).
    ///
    /// - Parameter dPixels: `[3, outputHeight, outputWidth]`.
    /// - Returns: `[3, inputHeight, inputWidth]`; zero where the crop sees nothing.
    public func backward(_ dPixels: [Float]) -> [Float] {
        precondition(dPixels.count == 3 * outputHeight * outputWidth, "gradient of another size")
        var dImage = [Float](repeating: 0, count: 3 * inputHeight * inputWidth)
        var dStrip = [Float](repeating: 0, count: rows.window.count * columns.reach.count)
        dPixels.withUnsafeBufferPointer { dPixels in
            dImage.withUnsafeMutableBufferPointer { dImage in
                dStrip.withUnsafeMutableBufferPointer { dStrip in
                    for channel in 0..<3 {
                        dCombineColumns(dPixels, channel: channel, into: dStrip)
                        dCombineRows(dStrip, channel: channel, into: dImage)
                    }
                }
            }
        }
        return dImage
    }

    /// strip[r, x] = Σ_t rows.weights[r, t] · image[rows.starts[r] + t, x], for the columns in
    /// reach.
    private func combineRows(
        _ image: UnsafeBufferPointer<Float>, channel: Int,
        into strip: UnsafeMutableBufferPointer<Float>
    ) {
        let reach = columns.reach
        let plane = channel * inputHeight * inputWidth + reach.lowerBound
        for row in 0..<rows.window.count {
            let target = row * reach.count
            for x in 0..<reach.count { strip[target + x] = 0 }
            for tap in 0..<rows.count(row) {
                let weight = rows.weight(row, tap)
                let source = plane + (rows.start(row) + tap) * inputWidth
                for x in 0..<reach.count { strip[target + x] += weight * image[source + x] }
            }
        }
    }

    /// The transpose of `combineRows`, added to `dImage`.
    private func dCombineRows(
        _ dStrip: UnsafeMutableBufferPointer<Float>, channel: Int,
        into dImage: UnsafeMutableBufferPointer<Float>
    ) {
        let reach = columns.reach
        let plane = channel * inputHeight * inputWidth + reach.lowerBound
        for row in 0..<rows.window.count {
            let source = row * reach.count
            for tap in 0..<rows.count(row) {
                let weight = rows.weight(row, tap)
                let target = plane + (rows.start(row) + tap) * inputWidth
                for x in 0..<reach.count { dImage[target + x] += weight * dStrip[source + x] }
            }
        }
    }

    /// output[r, i] = gain · Σ_t columns.weights[i, t] · strip[r, columns.starts[i] + t] + bias,
    /// and padding around it.
    private func combineColumns(
        _ strip: UnsafeMutableBufferPointer<Float>, channel: Int,
        into output: UnsafeMutableBufferPointer<Float>
    ) {
        let plane = channel * outputHeight * outputWidth
        let (gain, bias) = (gain[channel], bias[channel])
        let (width, first) = (columns.reach.count, columns.reach.lowerBound)
        if rows.window.count < outputHeight || columns.window.count < outputWidth {
            let padding = gain * fill + bias
            for index in plane..<plane + outputHeight * outputWidth { output[index] = padding }
        }
        for row in 0..<rows.window.count {
            let target = plane + (row + rows.padding) * outputWidth + columns.padding
            for column in 0..<columns.window.count {
                let source = row * width + columns.start(column) - first
                var sum: Float = 0
                for tap in 0..<columns.count(column) {
                    sum += columns.weight(column, tap) * strip[source + tap]
                }
                output[target + column] = gain * sum + bias
            }
        }
    }

    /// The transpose of `combineColumns`' linear part; overwrites `dStrip`.
    private func dCombineColumns(
        _ dOutput: UnsafeBufferPointer<Float>, channel: Int,
        into dStrip: UnsafeMutableBufferPointer<Float>
    ) {
        let plane = channel * outputHeight * outputWidth
        let gain = gain[channel]
        let (width, first) = (columns.reach.count, columns.reach.lowerBound)
        for index in 0..<rows.window.count * width { dStrip[index] = 0 }
        for row in 0..<rows.window.count {
            let source = plane + (row + rows.padding) * outputWidth + columns.padding
            for column in 0..<columns.window.count {
                let target = row * width + columns.start(column) - first
                let dSum = gain * dOutput[source + column]
                for tap in 0..<columns.count(column) {
                    dStrip[target + tap] += columns.weight(column, tap) * dSum
                }
            }
        }
    }
}

/// The rows (or columns) of one direction as a sparse matrix in single precision.
private struct SparseAxis: Sendable {
    let window: Range<Int>
    let padding: Int
    /// The input positions that any output reads.
    let reach: Range<Int>
    private let taps: ResampleTaps
    private let weights: [Float]

    init(_ plan: AxisPlan, _ interpolation: Interpolation) {
        // An unchanged side is the identity, which the filters give as well, with more taps.
        let filter = plan.input == plan.resized ? .nearest : interpolation
        taps = ResampleTaps(
            filter, input: plan.input, resized: plan.resized, window: plan.window)
        weights = taps.weights.map { Float($0) }
        window = plan.window
        padding = plan.padding
        reach = taps.reach
    }

    @inline(__always) func start(_ output: Int) -> Int { Int(taps.starts[output]) }
    @inline(__always) func count(_ output: Int) -> Int { Int(taps.counts[output]) }
    @inline(__always) func weight(_ output: Int, _ tap: Int) -> Float {
        weights[output * taps.stride + tap]
    }
}
