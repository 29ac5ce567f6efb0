import Encoders
import Testing

/// Convolutions against plain loops in double precision, forward and to the input, and their bits.
@Suite struct ConvolutionTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let height, width, inputs, outputs: Int
        let form: Convolution.Form
        var testDescription: String { "\(inputs)→\(outputs) \(height)×\(width) \(form)" }
    }
    static let cases = [
        Case(height: 1, width: 1, inputs: 3, outputs: 5, form: .same),
        Case(height: 5, width: 31, inputs: 4, outputs: 64, form: .same),
        Case(height: 33, width: 17, inputs: 64, outputs: 3, form: .same),
        Case(height: 6, width: 9, inputs: 64, outputs: 64, form: .same),
        Case(height: 7, width: 10, inputs: 8, outputs: 33, form: .halving),
        Case(height: 8, width: 5, inputs: 64, outputs: 64, form: .halving),
        Case(height: 3, width: 19, inputs: 8, outputs: 12, form: .doubling),
        Case(height: 6, width: 5, inputs: 64, outputs: 64, form: .doubling),
    ]
    static let elements: [(Element, Double)] = [(.f32, 3e-6), (.bf16, 2e-2)]

    /// The value of an enlarged, bordered picture.
    private static func sample(
        _ x: [Float], _ c: Case, _ channel: Int, _ row: Int, _ column: Int
    ) -> Double {
        let factor = if case .doubling = c.form { 2 } else { 1 }
        guard row >= 0, column >= 0, row < c.height * factor, column < c.width * factor else {
            return 0
        }
        return Double(x[(channel * c.height + row / factor) * c.width + column / factor])
    }

    /// Every product of a plain convolution: output value, input value (nil in the border), weight.
    private static func visit(
        _ c: Case, _ size: (height: Int, width: Int),
        _ body: (
            _ output: Int, _ place: (Int, Int), _ input: Int, _ from: (Int, Int), _ weight: Int
        )
            -> Void
    ) {
        let step = if case .halving = c.form { 2 } else { 1 }
        for output in 0..<c.outputs {
            for y in 0..<size.height {
                for x in 0..<size.width {
                    for input in 0..<c.inputs {
                        for row in 0..<3 {
                            for column in 0..<3 {
                                body(
                                    output, (y, x), input,
                                    (y * step + row - 1, x * step + column - 1),
                                    ((output * c.inputs + input) * 3 + row) * 3 + column)
                            }
                        }
                    }
                }
            }
        }
    }

    private static func plane(_ values: [Float], _ h: Int, _ w: Int, _ channels: Int, _ e: Element)
        -> (PlaneBuffer, Plane)
    {
        let buffer = PlaneBuffer(height: h, width: w, channels: channels, element: e)
        let plane = buffer.lend(height: h, width: w, channels: channels)
        values.withUnsafeBufferPointer { plane.copy(fromPlanar: $0) }
        return (buffer, plane)
    }

    private static func values(_ plane: Plane, _ planes: Int) -> [Float] {
        let count = planes * plane.height * plane.width
        return [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            buffer.initialize(repeating: 0)
            plane.copy(
                toPlanar: UnsafeMutableBufferPointer(rebasing: buffer[..<count]), planes: planes)
            initialized = count
        }
    }

    @Test(arguments: cases, elements) func forwardMatchesPlainLoops(
        c: Case, kind: (Element, Double)
    ) {
        var random = TowerRandom(c.height * 100 + c.width)
        let weight = random.floats(c.outputs * c.inputs * 9)
        let bias = random.floats(c.outputs)
        let x = random.floats(c.inputs * c.height * c.width)
        let layer = Convolution(
            weight: weight, bias: bias, inputs: c.inputs, outputs: c.outputs, form: c.form,
            element: kind.0, gradients: false)
        let size = layer.outputSize(height: c.height, width: c.width)
        let residual = random.floats(c.outputs * size.height * size.width)
        var expected = residual.map(Double.init)
        let area = size.height * size.width
        for output in 0..<c.outputs {
            for place in 0..<area { expected[output * area + place] += Double(bias[output]) }
        }
        Self.visit(c, size) { output, place, input, from, at in
            expected[output * area + place.0 * size.width + place.1] +=
                Self.sample(x, c, input, from.0, from.1) * Double(weight[at])
        }
        let (xOwner, xPlane) = Self.plane(x, c.height, c.width, layer.planeInputs, kind.0)
        // The residual is the output itself, as in TAESD's blocks.
        let (yOwner, yPlane) = Self.plane(
            residual, size.height, size.width, layer.planeOutputs, kind.0)
        withExtendedLifetime((xOwner, yOwner)) {
            layer.forward(xPlane, into: yPlane, adding: yPlane)
            #expect(relativeError(Self.values(yPlane, c.outputs), expected) < kind.1)
            layer.forward(xPlane, into: yPlane, adding: nil, rectified: true)
            let rectified = zip(expected, residual).map { max(0, $0 - Double($1)) }
            #expect(relativeError(Self.values(yPlane, c.outputs), rectified) < kind.1)
        }
    }

    @Test(arguments: cases, elements) func inputGradientIsTheTranspose(
        c: Case, kind: (Element, Double)
    ) {
        if case .halving = c.form { return }
        var random = TowerRandom(c.height * 200 + c.width)
        let weight = random.floats(c.outputs * c.inputs * 9)
        let layer = Convolution(
            weight: weight, bias: nil, inputs: c.inputs, outputs: c.outputs, form: c.form,
            element: kind.0)
        let size = layer.outputSize(height: c.height, width: c.width)
        let dy = random.floats(c.outputs * size.height * size.width)
        let factor = if case .doubling = c.form { 2 } else { 1 }
        var expected = [Double](repeating: 0, count: c.inputs * c.height * c.width)
        Self.visit(c, size) { output, place, input, from, at in
            guard from.0 >= 0, from.1 >= 0, from.0 < c.height * factor, from.1 < c.width * factor
            else { return }
            let index = (input * c.height + from.0 / factor) * c.width + from.1 / factor
            expected[index] +=
                Double(dy[(output * size.height + place.0) * size.width + place.1])
                * Double(weight[at])
        }
        let (dyOwner, dyPlane) = Self.plane(
            dy, size.height, size.width, layer.planeOutputs, kind.0)
        let zeros = [Float](repeating: 0, count: c.inputs * c.height * c.width)
        let (dxOwner, dxPlane) = Self.plane(zeros, c.height, c.width, layer.planeInputs, kind.0)
        withExtendedLifetime((dyOwner, dxOwner)) {
            layer.inputGradient(dyPlane, into: dxPlane)
            #expect(relativeError(Self.values(dxPlane, c.inputs), expected) < kind.1)
        }
    }

    @Test func helpersAndLevelsOfCuttingLeaveBitsAlone() {
        var random = TowerRandom(5)
        let layer = Convolution(
            weight: random.floats(64 * 64 * 9), bias: random.floats(64), inputs: 64, outputs: 64)
        let x = random.floats(64 * 70 * 61)
        let (xOwner, xPlane) = Self.plane(x, 70, 61, 64, .f32)
        let zeros = [Float](repeating: 0, count: x.count)
        let (aOwner, alone) = Self.plane(zeros, 70, 61, 64, .f32)
        let (bOwner, together) = Self.plane(zeros, 70, 61, 64, .f32)
        withExtendedLifetime((xOwner, aOwner, bOwner)) {
            layer.forward(xPlane, into: alone)
            let team = ComputeTeam(places: 4)
            let seat = team.sit()
            layer.forward(xPlane, into: together, seat: seat)
            team.leave(seat)
            #expect(Self.values(alone, 64) == Self.values(together, 64))
        }
        // A part of the picture gives the same bits away from its edges.
        var cropped: [Float] = []
        for channel in 0..<64 {
            for y in 9..<29 {
                let start = (channel * 70 + y) * 61 + 11
                cropped += x[start..<start + 23]
            }
        }
        let (cOwner, crop) = Self.plane(cropped, 20, 23, 64, .f32)
        let (dOwner, part) = Self.plane(
            [Float](repeating: 0, count: cropped.count), 20, 23, 64, .f32)
        withExtendedLifetime((cOwner, dOwner)) {
            layer.forward(crop, into: part)
            let (whole, piece) = (Self.values(alone, 64), Self.values(part, 64))
            for (channel, y, x) in [(0, 1, 1), (63, 18, 21), (17, 10, 14), (40, 1, 21)] {
                #expect(
                    piece[(channel * 20 + y) * 23 + x]
                        == whole[(channel * 70 + y + 9) * 61 + x + 11])
            }
        }
        _ = aOwner
    }

    @Test func aRectifierKeepsNaN() {
        let layer = Convolution(
            weight: [Float](repeating: 1, count: 9), bias: nil, inputs: 1, outputs: 1)
        let (xOwner, x) = Self.plane([1, .nan, 2, -8, 1, 1, 1, 1, 1], 3, 3, 4, .f32)
        let (yOwner, y) = Self.plane([Float](repeating: 0, count: 9), 3, 3, 4, .f32)
        withExtendedLifetime((xOwner, yOwner)) {
            layer.forward(x, into: y, rectified: true)
            let values = Self.values(y, 1)
            #expect(values[0].isNaN && values[8] == 4)
            #expect(values[6] == 0)
        }
    }
}
