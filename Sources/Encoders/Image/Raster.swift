import CKernels

/// Interleaved 8-bit samples between two steps of preprocessing: height × width × channels.
package struct Raster {
    package var width: Int
    package var height: Int
    package var channels: Int
    package var bytes: [UInt8]

    package init(width: Int, height: Int, channels: Int, bytes: [UInt8]) {
        self.width = width
        self.height = height
        self.channels = channels
        self.bytes = bytes
    }
}

/// How one side of an image reaches the model: resized, then cut or padded about its centre.
package struct AxisPlan: Sendable, Equatable {
    /// Samples of the source.
    package let input: Int
    /// Samples after the resize.
    package let resized: Int
    /// Samples that the model takes.
    package let output: Int
    /// The resized sample that becomes output 0; negative where padding precedes the image.
    package let offset: Int

    /// The resized samples that the crop keeps: nothing else is ever computed.
    package var window: Range<Int> {
        let lower = max(0, offset)
        return lower..<max(lower, min(resized, offset + output))
    }
    /// Outputs before the first sample of the window.
    package var padding: Int { window.lowerBound - offset }

    package init(input: Int, resized: Int, output: Int, offset: Int) {
        self.input = input
        self.resized = resized
        self.output = output
        self.offset = offset
    }

    /// The window's rows of the resize; `nil` where the side does not change.
    func taps(_ filter: Interpolation) -> ResampleTaps? {
        resized == input
            ? nil : ResampleTaps(filter, input: input, resized: resized, window: window)
    }

    /// Pillow resizes columns first, except (since version 13) where the height shrinks by more
    /// than twice as many pixels as the width.
    static func takesRowsFirst(columns: AxisPlan, rows: AxisPlan) -> Bool {
        rows.resized < rows.input
            && rows.input - rows.resized > 2 * (columns.input - columns.resized)
    }
}

/// Whose arithmetic a resize of bytes follows.
enum ResizeArithmetic {
    /// Weights of 22 bits after the point; the order of the passes depends on the sizes.
    case pillow
    /// Weights of sixteen bits in all; columns first.
    case torch
}

extension Raster {
    /// Resizes exactly as a library does and keeps the windows of the two plans.
    ///
    /// Each pass works in fixed point and rounds to 8 bits, so their order shows; a pass is left out
    /// where its side does not change.
    func resized(
        _ filter: Interpolation, columns: AxisPlan, rows: AxisPlan,
        as arithmetic: ResizeArithmetic = .pillow
    ) -> Raster {
        if filter == .nearest { return nearest(columns: columns, rows: rows, as: arithmetic) }
        let horizontal = columns.taps(filter)
        let vertical = rows.taps(filter)
        let neededColumns = horizontal?.reach ?? columns.window
        let neededRows = vertical?.reach ?? rows.window
        func weights(_ taps: ResampleTaps, _ plan: AxisPlan) -> [Int32] {
            switch arithmetic {
            case .pillow: taps.fixedPoint
            case .torch: taps.torchFixedPoint(largest: ResampleTaps.largestWeight(filter, plan))
            }
        }
        if let vertical, arithmetic == .pillow,
            AxisPlan.takesRowsFirst(columns: columns, rows: rows)
        {
            let strip = cut(columns: neededColumns, rows: neededRows)
                .resizedVertically(
                    vertical.shifted(by: neededRows.lowerBound), weights(vertical, rows))
            guard let horizontal else { return strip }
            return strip.resizedHorizontally(
                horizontal.shifted(by: neededColumns.lowerBound), weights(horizontal, columns),
                rows: 0..<strip.height)
        }
        let strip =
            horizontal.map { resizedHorizontally($0, weights($0, columns), rows: neededRows) }
            ?? cut(columns: neededColumns, rows: neededRows)
        guard let vertical else { return strip }
        return strip.resizedVertically(
            vertical.shifted(by: neededRows.lowerBound), weights(vertical, rows))
    }

    /// The pixels of a rectangle that lies within the image.
    func cut(columns: Range<Int>, rows: Range<Int>) -> Raster {
        if columns == 0..<width && rows == 0..<height { return self }
        let rowBytes = columns.count * channels
        let cut = [UInt8](unsafeUninitializedCapacity: rowBytes * rows.count) { output, count in
            bytes.withUnsafeBufferPointer { input in
                for (index, row) in rows.enumerated() {
                    let start = (row * width + columns.lowerBound) * channels
                    for position in 0..<rowBytes {
                        output[index * rowBytes + position] = input[start + position]
                    }
                }
            }
            count = rowBytes * rows.count
        }
        return Raster(width: columns.count, height: rows.count, channels: channels, bytes: cut)
    }

    private func resizedHorizontally(
        _ taps: ResampleTaps, _ weights: [Int32], rows: Range<Int>
    ) -> Raster {
        let reach = taps.reach
        let size = taps.starts.count * rows.count * channels
        let room = gk_resize_scratch(reach.count, taps.starts.count, channels)
        let resized = [UInt8](unsafeUninitializedCapacity: size) { output, count in
            bytes.withUnsafeBufferPointer { input in
                guard let base = input.baseAddress, size > 0 else { return }
                withTaps(taps, weights) { taps in
                    withUnsafeTemporaryAllocation(of: UInt8.self, capacity: room) { scratch in
                        gk_resize_bytes_along(
                            base + rows.lowerBound * width * channels, width * channels,
                            rows.count, channels, reach.lowerBound, reach.count, taps,
                            scratch.baseAddress, output.baseAddress)
                    }
                }
                count = size
            }
        }
        return Raster(
            width: taps.starts.count, height: rows.count, channels: channels, bytes: resized)
    }

    private func resizedVertically(_ taps: ResampleTaps, _ weights: [Int32]) -> Raster {
        let size = taps.starts.count * width * channels
        let resized = [UInt8](unsafeUninitializedCapacity: size) { output, count in
            bytes.withUnsafeBufferPointer { input in
                guard let base = input.baseAddress, size > 0 else { return }
                withTaps(taps, weights) { taps in
                    gk_resize_bytes_across(base, width * channels, taps, output.baseAddress)
                }
                count = size
            }
        }
        return Raster(
            width: width, height: taps.starts.count, channels: channels, bytes: resized)
    }

    private func withTaps(
        _ taps: ResampleTaps, _ weights: [Int32], _ body: (gk_byte_taps) -> Void
    ) {
        taps.starts.withUnsafeBufferPointer { starts in
            taps.counts.withUnsafeBufferPointer { counts in
                weights.withUnsafeBufferPointer { weights in
                    body(
                        gk_byte_taps(
                            starts: starts.baseAddress, counts: counts.baseAddress,
                            weights: weights.baseAddress, stride: taps.stride,
                            outputs: taps.starts.count))
                }
            }
        }
    }

    /// Nearest neighbour: also Pillow's way with palettes and bilevel images.
    private func nearest(
        columns: AxisPlan, rows: AxisPlan, as arithmetic: ResizeArithmetic
    ) -> Raster {
        func sources(_ plan: AxisPlan) -> [Int] {
            guard plan.resized != plan.input else { return Array(plan.window) }
            let taps =
                switch arithmetic {
                case .pillow:
                    ResampleTaps(
                        .nearest, input: plan.input, resized: plan.resized, window: plan.window)
                case .torch: ResampleTaps(nearestExact: plan)
                }
            return taps.starts.map { Int($0) }
        }
        let (xs, ys) = (sources(columns), sources(rows))
        var picked: [UInt8] = []
        picked.reserveCapacity(xs.count * ys.count * channels)
        for y in ys {
            for x in xs {
                let start = (y * width + x) * channels
                for channel in 0..<channels { picked.append(bytes[start + channel]) }
            }
        }
        return Raster(width: xs.count, height: ys.count, channels: channels, bytes: picked)
    }

    /// The window placed on a canvas of the outputs' size, filled with one value elsewhere.
    func padded(columns: AxisPlan, rows: AxisPlan, fill: UInt8) -> Raster {
        if width == columns.output && height == rows.output { return self }
        var canvas = [UInt8](repeating: fill, count: columns.output * rows.output * channels)
        for row in 0..<height {
            let target = ((row + rows.padding) * columns.output + columns.padding) * channels
            let source = row * width * channels
            canvas.replaceSubrange(
                target..<target + width * channels,
                with: bytes[source..<source + width * channels])
        }
        return Raster(
            width: columns.output, height: rows.output, channels: channels, bytes: canvas)
    }

    /// Three channels, grey repeated; a fourth (or second) channel of alpha is dropped.
    var rgb: [UInt8] {
        if channels == 3 { return bytes }
        let pixels = width * height
        return [UInt8](unsafeUninitializedCapacity: pixels * 3) { output, count in
            bytes.withUnsafeBufferPointer { input in
                for pixel in 0..<pixels {
                    let source = pixel * channels
                    output[3 * pixel] = input[source]
                    output[3 * pixel + 1] = input[channels == 4 ? source + 1 : source]
                    output[3 * pixel + 2] = input[channels == 4 ? source + 2 : source]
                }
            }
            count = pixels * 3
        }
    }
}
