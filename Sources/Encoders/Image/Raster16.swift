/// Sixteen-bit grey between two steps of preprocessing.
struct Raster16 {
    var width: Int
    var height: Int
    var samples: [UInt16]

    init(width: Int, height: Int, samples: [UInt16]) {
        self.width = width
        self.height = height
        self.samples = samples
    }

    /// - Parameter bytes: two a sample, low byte first.
    init(width: Int, height: Int, bytes: [UInt8]) {
        self.init(
            width: width, height: height,
            samples: (0..<width * height).map {
                UInt16(bytes[2 * $0]) | UInt16(bytes[2 * $0 + 1]) << 8
            })
    }

    /// What conversion to 8 bits does in Pillow: clip, not scale.
    var clipped: Raster {
        Raster(
            width: width, height: height, channels: 1,
            bytes: samples.map { UInt8(clamping: $0) })
    }

    /// Resizes as Pillow's 16-bit path does: double sums, rounded half away from zero and clipped
    /// after each pass, in the order of `Raster.resized`.
    func resized(_ filter: Interpolation, columns: AxisPlan, rows: AxisPlan) -> Raster16 {
        func taps(_ plan: AxisPlan) -> ResampleTaps {
            plan.taps(filter)
                ?? ResampleTaps(
                    .nearest, input: plan.input, resized: plan.resized, window: plan.window)
        }
        let (horizontal, vertical) = (taps(columns), taps(rows))
        let (neededColumns, neededRows) = (horizontal.reach, vertical.reach)
        if AxisPlan.takesRowsFirst(columns: columns, rows: rows) {
            return resizedVertically(vertical, columns: neededColumns)
                .resizedHorizontally(
                    horizontal.shifted(by: neededColumns.lowerBound), rows: 0..<rows.window.count)
        }
        return resizedHorizontally(horizontal, rows: neededRows)
            .resizedVertically(
                vertical.shifted(by: neededRows.lowerBound), columns: 0..<columns.window.count)
    }

    private func resizedHorizontally(_ taps: ResampleTaps, rows: Range<Int>) -> Raster16 {
        var result = Raster16(width: taps.starts.count, height: rows.count, samples: [])
        result.samples.reserveCapacity(result.width * result.height)
        for row in rows {
            for output in 0..<result.width {
                result.samples.append(sum(taps, output, from: row * width, step: 1))
            }
        }
        return result
    }

    private func resizedVertically(_ taps: ResampleTaps, columns: Range<Int>) -> Raster16 {
        var result = Raster16(width: columns.count, height: taps.starts.count, samples: [])
        result.samples.reserveCapacity(result.width * result.height)
        for output in 0..<result.height {
            for column in columns {
                result.samples.append(sum(taps, output, from: column, step: width))
            }
        }
        return result
    }

    private func sum(
        _ taps: ResampleTaps, _ output: Int, from start: Int, step: Int
    ) -> UInt16 {
        var sum = 0.0
        let first = Int(taps.starts[output])
        for tap in 0..<Int(taps.counts[output]) {
            sum +=
                Double(samples[start + (first + tap) * step])
                * taps.weights[output * taps.stride + tap]
        }
        return UInt16(clamping: Int(sum >= 0 ? sum + 0.5 : sum - 0.5))
    }
}
