internal import CKernels

/// A 3 × 3 convolution with a padding of zeros one pixel wide, forward and to its input.
///
/// Owns its weights packed for the kernels. A value is one sum in a fixed order, so that neither threads
/// nor the cut into tiles change a bit.
package struct Convolution: Sendable {
    /// How the picture's size changes.
    package enum Form: Sendable {
        /// As high and wide as it was.
        case same
        /// Every second pixel in both directions: ⌈height / 2⌉ × ⌈width / 2⌉. Has no backward here.
        case halving
        /// Behind an enlargement that repeats every pixel twice in both directions: 2 · height ×
        /// 2 · width. The enlarged picture is never made: each of an output's four places in a
        /// repeated pixel sees a 2 × 2 window of the small picture, with sums of weights.
        case doubling
    }

    package let inputs: Int
    package let outputs: Int
    package let form: Form
    /// Numbers a pixel of the pictures that are read and written: whole groups of four.
    package var planeInputs: Int { Self.planeChannels(inputs) }
    package var planeOutputs: Int { Self.planeChannels(outputs) }

    private let bias: [Float]?
    private let forwardPasses: [Pass]
    private let backwardPass: Pass?

    package static func planeChannels(_ channels: Int) -> Int { (channels + 3) / 4 * 4 }

    /// One matrix and the windows that it is multiplied by.
    private struct Pass: Sendable {
        let matrix: PackedMatrix
        let window: Window
    }

    /// `gk_window` as a value of ours.
    private struct Window: Sendable {
        var rows = 3
        var columns = 3
        var step = 1
        var top = -1
        var left = -1
        var spread = 1
        var down = 0
        var right = 0

        var kernel: gk_window {
            gk_window(
                rows: rows, columns: columns, step: step, top: top, left: left, spread: spread,
                down: down, right: right)
        }
    }

    /// - Parameters:
    ///   - weight: [outputs, inputs, 3, 3], as torch stores it.
    ///   - bias: [outputs] or `nil`.
    ///   - gradients: whether ``inputGradient(_:into:adding:mask:seat:)`` will be called.
    package init(
        weight: [Float], bias: [Float]?, inputs: Int, outputs: Int, form: Form = .same,
        element: Element = .f32, gradients: Bool = true
    ) {
        precondition(weight.count == outputs * inputs * 9, "weights of another size")
        precondition((bias?.count ?? outputs) == outputs, "biases of another number")
        precondition(element != .s8, "convolutions have no bytes")
        precondition(!gradients || form != .halving, "no backward of a halving")
        self.inputs = inputs
        self.outputs = outputs
        self.form = form
        self.bias = bias
        let kernel = Kernel(weight: weight, inputs: inputs, outputs: outputs)
        switch form {
        case .same, .halving:
            var window = Window()
            if form == .halving { window.step = 2 }
            forwardPasses = [
                kernel.pass(window, element) { output, input, row, column in
                    kernel[output, input, row, column]
                }
            ]
        case .doubling:
            forwardPasses = (0..<4).map { place in
                let (down, right) = (place / 2, place % 2)
                let window = Window(
                    rows: 2, columns: 2, step: 1, top: down - 1, left: right - 1, spread: 2,
                    down: down, right: right)
                return kernel.pass(window, element) { output, input, row, column in
                    kernel.folded(output, input, (down, row), (right, column))
                }
            }
        }
        backwardPass = gradients ? kernel.backward(form, element) : nil
    }

    /// Memory that the weights take.
    package var bytes: Int {
        forwardPasses.reduce(0) { $0 + $1.matrix.bytes } + (backwardPass?.matrix.bytes ?? 0)
            + (bias?.count ?? 0) * 4
    }

    /// Multiply-adds for a picture of this size, forward or backward alike.
    package func multiplyAdds(height: Int, width: Int) -> Int {
        let taps =
            form == .halving
            ? 9 * ((height + 1) / 2) * ((width + 1) / 2)
            : (form == .same ? 9 : 16) * height * width
        return taps * inputs * outputs
    }

    /// The size of the result for a picture of this size.
    package func outputSize(height: Int, width: Int) -> (height: Int, width: Int) {
        switch form {
        case .same: (height, width)
        case .halving: ((height + 1) / 2, (width + 1) / 2)
        case .doubling: (2 * height, 2 * width)
        }
    }

    /// y = convolution of x, plus `residual`, then what is below zero made zero if `rectified`.
    ///
    /// - Parameters:
    ///   - y: of ``outputSize(height:width:)``; must not be x. `residual` may be y.
    ///   - signs: receives which values passed the rectifier, for the backward.
    package func forward(
        _ x: Plane, into y: Plane, adding residual: Plane? = nil, rectified: Bool = false,
        signs: SignBuffer? = nil, seat: ComputeSeat = .alone
    ) {
        let size = outputSize(height: x.height, width: x.width)
        precondition(size.height == y.height && size.width == y.width, "another size")
        precondition(x.channels == planeInputs && y.channels == planeOutputs, "other channels")
        for pass in forwardPasses {
            let spread = pass.window.spread
            run(
                pass, x, height: y.height / spread, width: y.width / spread, into: y,
                residual: residual, bias: bias, rectified: rectified, signs: signs?.words,
                mask: nil, seat: seat)
        }
    }

    /// dx = the gradient at the input for one at the output, plus `residual`, zero where `mask` says that
    /// the rectifier before this convolution let nothing pass.
    package func inputGradient(
        _ dy: Plane, into dx: Plane, adding residual: Plane? = nil, mask: SignBuffer? = nil,
        seat: ComputeSeat = .alone
    ) {
        guard let backwardPass else {
            preconditionFailure("a gradient of weights that were packed without")
        }
        let size = outputSize(height: dx.height, width: dx.width)
        precondition(size.height == dy.height && size.width == dy.width, "another size")
        precondition(dx.channels == planeInputs && dy.channels == planeOutputs, "other channels")
        run(
            backwardPass, dy, height: dx.height, width: dx.width, into: dx, residual: residual,
            bias: nil, rectified: false, signs: nil, mask: mask?.words, seat: seat)
    }

    private func run(
        _ pass: Pass, _ x: Plane, height: Int, width: Int, into y: Plane, residual: Plane?,
        bias: [Float]?, rectified: Bool, signs: UnsafeMutablePointer<UInt16>?,
        mask: UnsafePointer<UInt16>?, seat: ComputeSeat
    ) {
        precondition(x.base != y.base, "a convolution into its own input")
        let (xKernel, yKernel, window) = (x.kernel, y.kernel, pass.window.kernel)
        func convolve(_ residual: UnsafePointer<gk_plane>?, _ bias: UnsafePointer<Float>?) {
            let epilogue = gk_convolution_epilogue(
                bias: bias, residual: residual, rectify: rectified ? 1 : 0, signs: signs, mask: mask
            )
            withUnsafePointer(to: pass.matrix.packed) { matrix in
                withUnsafePointer(to: xKernel) { x in
                    withUnsafePointer(to: yKernel) { y in
                        withUnsafePointer(to: window) { window in
                            withUnsafePointer(to: epilogue) { epilogue in
                                gk_convolve(
                                    seat.pointer, matrix, x, window, height, width, epilogue, y)
                            }
                        }
                    }
                }
            }
        }
        func withBias(_ residual: UnsafePointer<gk_plane>?) {
            guard let bias else { return convolve(residual, nil) }
            bias.withUnsafeBufferPointer { convolve(residual, $0.baseAddress) }
        }
        guard let residual else { return withBias(nil) }
        withUnsafePointer(to: residual.kernel) { withBias($0) }
    }

    /// Weights in torch's order, and the matrices made of them.
    private struct Kernel {
        let weight: [Float]
        let inputs: Int
        let outputs: Int

        subscript(output: Int, input: Int, row: Int, column: Int) -> Float {
            weight[((output * inputs + input) * 3 + row) * 3 + column]
        }

        /// Of an enlarged picture's window, the rows that fall on one row of the small picture. For the
        /// upper of two repeated rows the window is the row before, itself, itself; for the lower itself,
        /// itself, the row behind.
        static func folds(_ place: (half: Int, tap: Int)) -> ClosedRange<Int> {
            switch (place.half, place.tap) {
            case (0, 0): 0...0
            case (0, _): 1...2
            case (_, 0): 0...1
            default: 2...2
            }
        }

        func folded(
            _ output: Int, _ input: Int, _ vertical: (Int, Int), _ horizontal: (Int, Int)
        ) -> Float {
            var sum: Float = 0
            for row in Self.folds(vertical) {
                for column in Self.folds(horizontal) { sum += self[output, input, row, column] }
            }
            return sum
        }

        func pass(
            _ window: Window, _ element: Element, _ value: (Int, Int, Int, Int) -> Float
        ) -> Pass {
            Self.pass(window, element, inputs: inputs, outputs: outputs, value)
        }

        /// A pass whose inputs lie in a window's order: rows, columns, channels filled up to whole groups.
        static func pass(
            _ window: Window, _ element: Element, inputs: Int, outputs: Int,
            _ value: (_ output: Int, _ input: Int, _ row: Int, _ column: Int) -> Float
        ) -> Pass {
            let channels = planeChannels(inputs)
            let depth = window.rows * window.columns * channels
            var matrix = [Float](repeating: 0, count: outputs * depth)
            for output in 0..<outputs {
                for row in 0..<window.rows {
                    for column in 0..<window.columns {
                        let start =
                            output * depth + (row * window.columns + column) * channels
                        for input in 0..<inputs {
                            matrix[start + input] = value(output, input, row, column)
                        }
                    }
                }
            }
            return Pass(
                matrix: PackedMatrix(
                    matrix, firstOutput: 0, inputs: depth, outputs: outputs, transposed: false,
                    element: element),
                window: window)
        }

        func backward(_ form: Form, _ element: Element) -> Pass {
            if case .same = form {
                // The window turned around.
                return Self.pass(Window(), element, inputs: outputs, outputs: inputs) {
                    self[$1, $0, 2 - $2, 2 - $3]
                }
            }
            // A small pixel is seen by the outputs from one before its upper repetition to one behind its
            // lower: four rows, of which rows 0 and 2 are lower places of the pixel before and the
            // pixel's own, whose taps 1 and 0 it is, and so on.
            let seenBy = [
                (half: 1, tap: 1), (half: 0, tap: 1), (half: 1, tap: 0), (half: 0, tap: 0),
            ]
            let window = Window(rows: 4, columns: 4, step: 2, top: -1, left: -1)
            return Self.pass(window, element, inputs: outputs, outputs: inputs) {
                folded($1, $0, seenBy[$2], seenBy[$3])
            }
        }
    }
}
