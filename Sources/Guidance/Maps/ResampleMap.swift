/// A ``Resampling`` in one pass over the image, and its exact transpose.
///
/// The map is separable: A = V ⊗ H, two sparse matrices with a few taps a row, computed for the rows
/// and columns of the last crop only. Nothing is rounded to 8 bits or clamped.
public struct ResampleMap: AffineMap {
    public let input: ImageShape
    public let output: ImageShape

    private let rows: SparseAxis
    private let columns: SparseAxis
    /// Output = gain · resampled + bias, per channel; padding has `bias + gain · fill`.
    private let gain: [Float]
    private let bias: [Float]
    private let fill: Float

    public init(_ resampling: Resampling) {
        input = resampling.input
        output = resampling.output
        rows = SparseAxis(resampling.rows, resampling.filter)
        columns = SparseAxis(resampling.columns, resampling.filter)
        fill = resampling.fill
        let channels = input.channels
        gain = resampling.normalization?.gain ?? [Float](repeating: 1, count: channels)
        bias = resampling.normalization?.bias ?? [Float](repeating: 0, count: channels)
    }

    public func forward(_ image: [Float]) -> [Float] {
        precondition(image.count == input.count, "image of another size")
        let (reach, band) = (columns.reach, Self.band)
        let corner = rows.padding * output.width + columns.padding
        let room = columns.scratch
        return [Float](unsafeUninitializedCapacity: output.count) { pixels, count in
            // Rows first: that pass runs along contiguous memory and leaves the other little to do.
            // A band of their results at a time, which stays in the cache until it is used.
            image.withUnsafeBufferPointer { image in
                withUnsafeTemporaryAllocation(
                    of: Float.self, capacity: band * reach.count + room
                ) { memory in
                    guard let source = image.baseAddress, let target = pixels.baseAddress,
                        let strip = memory.baseAddress
                    else { return }
                    for channel in 0..<input.channels {
                        let plane = target + channel * output.area
                        if rows.window.count < output.height || columns.window.count < output.width
                        {
                            plane.update(
                                repeating: gain[channel] * fill + bias[channel], count: output.area)
                        }
                        for row in stride(from: 0, to: rows.window.count, by: band) {
                            let part = row..<min(row + band, rows.window.count)
                            rows.combineAcross(
                                source + channel * input.area + reach.lowerBound,
                                stride: input.width, width: reach.count, outputs: part,
                                into: strip, stride: reach.count)
                            columns.combineAlong(
                                strip, stride: reach.count, rows: part.count, gain: gain[channel],
                                bias: bias[channel], scratch: strip + band * reach.count,
                                into: plane + corner + row * output.width, stride: output.width)
                        }
                    }
                }
            }
            count = output.count
        }
    }

    /// Rows between the two passes at a time; a multiple of the lanes that the second one takes.
    private static let band = 16

    /// d(loss)/d(image); zero where no output sees it.
    public func pullback(_ dPixels: [Float]) -> [Float] {
        precondition(dPixels.count == output.count, "gradient of another size")
        let corner = rows.padding * output.width + columns.padding
        let (dRows, dColumns) = (rows.transposed, columns.transposed)
        let (height, width) = (rows.window.count, columns.reach.count)
        let isSeenWhole = rows.reach.count == input.height && width == input.width
        let start = rows.reach.lowerBound * input.width + columns.reach.lowerBound
        let room = dColumns.scratch
        return [Float](unsafeUninitializedCapacity: input.count) { dImage, count in
            dPixels.withUnsafeBufferPointer { dPixels in
                withUnsafeTemporaryAllocation(of: Float.self, capacity: height * width + room) {
                    memory in
                    guard let source = dPixels.baseAddress, let target = dImage.baseAddress,
                        let dStrip = memory.baseAddress
                    else { return }
                    if !isSeenWhole { target.update(repeating: 0, count: input.count) }
                    for channel in 0..<input.channels {
                        dColumns.combineAlong(
                            source + channel * output.area + corner, stride: output.width,
                            rows: height, gain: gain[channel], bias: 0,
                            scratch: dStrip + height * width, into: dStrip, stride: width)
                        dRows.combineAcross(
                            dStrip, stride: width, width: width, outputs: 0..<dRows.count,
                            into: target + channel * input.area + start, stride: input.width)
                    }
                }
            }
            count = input.count
        }
    }
}
