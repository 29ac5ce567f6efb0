import CKernels
import Testing

/// The loops over pixels against their definitions, at the instruction set in force.
@Suite struct ImageKernelTests {
    /// One direction of a resize with random runs, some of them empty.
    private struct Taps {
        var starts: [Int32] = []
        var counts: [Int32] = []
        var fixed: [Int32] = []
        var floats: [Float] = []
        let stride: Int

        init(outputs: Int, within inputs: Range<Int>, random: inout ImageRandom) {
            stride = min(inputs.count, 9)
            for _ in 0..<outputs {
                let count = Int.random(in: 0...stride, using: &random)
                counts.append(Int32(count))
                starts.append(
                    Int32(
                        Int.random(
                            in: inputs.lowerBound...inputs.upperBound - count, using: &random)))
                for _ in 0..<stride {
                    // Sums of nine may leave 0…255 but stay within 32 bits, as a filter's do.
                    fixed.append(Int32.random(in: -120_000...900_000, using: &random))
                    floats.append(Float.random(in: -1...1, using: &random))
                }
            }
        }

        func withBytes(_ body: (gk_byte_taps) -> Void) {
            starts.withUnsafeBufferPointer { starts in
                counts.withUnsafeBufferPointer { counts in
                    fixed.withUnsafeBufferPointer { weights in
                        body(
                            gk_byte_taps(
                                starts: starts.baseAddress, counts: counts.baseAddress,
                                weights: weights.baseAddress, stride: stride,
                                outputs: starts.count))
                    }
                }
            }
        }

        func withFloats(_ body: (gk_float_taps) -> Void) {
            starts.withUnsafeBufferPointer { starts in
                counts.withUnsafeBufferPointer { counts in
                    floats.withUnsafeBufferPointer { weights in
                        body(
                            gk_float_taps(
                                starts: starts.baseAddress, counts: counts.baseAddress,
                                weights: weights.baseAddress, stride: stride,
                                outputs: starts.count))
                    }
                }
            }
        }

        /// Output `i` of the fixed-point sum over `sample(input)`.
        func byte(_ i: Int, _ sample: (Int) -> UInt8) -> UInt8 {
            var sum = Int32(1 << 21)
            for t in 0..<Int(counts[i]) {
                sum += Int32(sample(Int(starts[i]) + t)) * fixed[i * stride + t]
            }
            return UInt8(clamping: sum >> 22)
        }

        func float(_ i: Int, _ sample: (Int) -> Float) -> Double {
            (0..<Int(counts[i])).reduce(0) {
                $0 + Double(sample(Int(starts[i]) + $1)) * Double(floats[i * stride + $1])
            }
        }
    }

    /// Inputs of `reach` among `width`, and a random direction over them.
    private func direction(
        _ width: Int, random: inout ImageRandom
    ) -> (reach: Range<Int>, taps: Taps) {
        let first = Int.random(in: 0..<width, using: &random)
        let reach = first..<Int.random(in: first + 1...width, using: &random)
        let outputs = Int.random(in: 1...40, using: &random)
        return (reach, Taps(outputs: outputs, within: reach, random: &random))
    }

    @Test func resizesBytesExactly() {
        var random = ImageRandom(state: 11)
        for trial in 0..<80 {
            let channels = 1 + trial % 4
            let (width, rows) = (Int.random(in: 1...60, using: &random), 1 + trial % 37)
            let (reach, taps) = direction(width, random: &random)
            let outputs = taps.starts.count
            let input = ImageFixtures.noise(rows * width * channels, seed: trial)
            var expected: [UInt8] = []
            for row in 0..<rows {
                for position in 0..<outputs * channels {
                    let (i, c) = (position / channels, position % channels)
                    expected.append(taps.byte(i) { input[(row * width + $0) * channels + c] })
                }
            }
            var output = [UInt8](repeating: 0, count: expected.count)
            var scratch = [UInt8](
                repeating: 0, count: gk_resize_scratch(reach.count, outputs, channels))
            taps.withBytes {
                gk_resize_bytes_along(
                    input, width * channels, rows, channels, reach.lowerBound, reach.count, $0,
                    &scratch, &output)
            }
            #expect(output == expected, "trial \(trial)")
        }
    }

    @Test func resizesColumnsOfBytesExactly() {
        var random = ImageRandom(state: 12)
        for trial in 0..<40 {
            let rowBytes = Int.random(in: 1...200, using: &random)
            let (reach, taps) = direction(30, random: &random)
            let input = ImageFixtures.noise(reach.upperBound * rowBytes, seed: trial)
            var expected: [UInt8] = []
            for i in taps.starts.indices {
                for x in 0..<rowBytes { expected.append(taps.byte(i) { input[$0 * rowBytes + x] }) }
            }
            var output = [UInt8](repeating: 0, count: expected.count)
            taps.withBytes { gk_resize_bytes_across(input, rowBytes, $0, &output) }
            #expect(output == expected, "trial \(trial)")
        }
    }

    @Test func resizesFloats() {
        var random = ImageRandom(state: 13)
        for trial in 0..<80 {
            let (width, rows) = (Int.random(in: 1...90, using: &random), 1 + trial % 37)
            let (reach, taps) = direction(width, random: &random)
            let outputs = taps.starts.count
            // What lies between the rows of the output must stay.
            let stride = outputs + trial % 3
            let input = ImageFixtures.unit(rows * reach.count, seed: trial)
            let (gain, bias): (Float, Float) = (3.5, -0.25)
            var output = [Float](repeating: 77, count: rows * stride)
            var scratch = [Float](
                repeating: 0, count: gk_resize_along_scratch(reach.count, outputs))
            taps.withFloats {
                gk_resize_along(
                    input, reach.count, rows, reach.lowerBound, reach.count, $0, gain, bias,
                    &scratch, &output, stride)
            }
            var worst = 0.0
            for row in 0..<rows {
                for i in 0..<stride {
                    let expected =
                        i < outputs
                        ? Double(gain)
                            * taps.float(i) { input[row * reach.count + $0 - reach.lowerBound] }
                            + Double(bias) : 77
                    worst = max(worst, abs(Double(output[row * stride + i]) - expected))
                }
            }
            #expect(worst < 1e-5, "trial \(trial)")
        }
    }

    @Test func resizesColumnsOfFloats() {
        var random = ImageRandom(state: 14)
        for trial in 0..<80 {
            let width = Int.random(in: 1...200, using: &random)
            let (reach, taps) = direction(30, random: &random)
            let (inputStride, stride) = (width + trial % 2, width + trial % 3)
            let input = ImageFixtures.unit(reach.upperBound * inputStride, seed: trial)
            var output = [Float](repeating: 77, count: taps.starts.count * stride)
            taps.withFloats {
                gk_resize_across(input, inputStride, width, $0, &output, stride)
            }
            var worst = 0.0
            for i in taps.starts.indices {
                for x in 0..<stride {
                    let expected = x < width ? taps.float(i) { input[$0 * inputStride + x] } : 77
                    worst = max(worst, abs(Double(output[i * stride + x]) - expected))
                }
            }
            #expect(worst < 1e-5, "trial \(trial)")
        }
    }

    @Test func mixesEveryColourAndAlpha() {
        var rgba: [UInt8] = []
        for alpha in 0...255 {
            for color in 0...255 {
                rgba += [UInt8(color), UInt8(255 - color), UInt8(color ^ 0x55), UInt8(alpha)]
            }
        }
        let pixels = 65_536 - 3
        var white = [UInt8](repeating: 7, count: 3 * pixels + 1)
        var product = [UInt8](repeating: 7, count: 4 * pixels + 1)
        gk_over_white(rgba, pixels, &white)
        gk_premultiply(rgba, pixels, &product)
        var wrong = 0
        for pixel in 0..<pixels {
            let alpha = Int(rgba[4 * pixel + 3])
            for c in 0..<3 {
                let color = Int(rgba[4 * pixel + c])
                let exact = Int((Double(color * alpha) / 255).rounded())
                let laid = 255 - Int((Double((255 - color) * alpha) / 255).rounded())
                if Int(product[4 * pixel + c]) != exact || Int(white[3 * pixel + c]) != laid {
                    wrong += 1
                }
            }
            if Int(product[4 * pixel + 3]) != alpha { wrong += 1 }
        }
        #expect(wrong == 0)
        #expect(white.last == 7 && product.last == 7)
    }

    @Test(arguments: [1, 3]) func widensBytesToPlanes(channels: Int) {
        for pixels in [1, 15, 16, 17, 1000] {
            let bytes = ImageFixtures.noise(pixels * channels, seed: pixels)
            var planes = [Float](repeating: 7, count: 3 * pixels + 1)
            gk_unit_planes(bytes, pixels, channels, &planes)
            let expected = (0..<3 * pixels).map {
                Float(bytes[$0 % pixels * channels + (channels == 3 ? $0 / pixels : 0)]) / 255
            }
            #expect(planes == expected + [7])
        }
    }

    @Test func findsTheFirstValueThatIsNotFinite() {
        for count in [1, 15, 16, 17, 1023, 1024, 1025, 3000] {
            var values = ImageFixtures.unit(count, seed: count).map { ($0 - 0.5) * 3e38 }
            #expect(gk_first_not_finite(values, count) == count)
            for bad in [Float.nan, .infinity, -.infinity] {
                for index in [count - 1, count / 2, 0] {
                    let kept = values[index]
                    values[index] = bad
                    #expect(gk_first_not_finite(values, count) == index)
                    values[count - 1] = bad
                    #expect(gk_first_not_finite(values, count) == index)
                    values[index] = kept
                    values[count - 1] = 1
                }
            }
        }
    }
}
