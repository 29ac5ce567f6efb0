/// What TAESD's decoder and encoder are made of: convolutions, and blocks
/// y = rectified(x + convolution(rectified(convolution(rectified(convolution(x)))))).
///
/// Source: madebyollin/taesd `taesd.py`; diffusers' `AutoencoderTiny` is the same network.
struct ResidualStack: Sendable {
    enum Layer: Sendable {
        case convolution(Convolution, rectified: Bool)
        case block(Convolution, Convolution, Convolution)

        var form: Convolution.Form {
            if case .convolution(let layer, _) = self { layer.form } else { .same }
        }
    }

    let layers: [Layer]

    /// Memory that the weights take.
    var bytes: Int { convolutions.reduce(0) { $0 + $1.bytes } }

    private var convolutions: [Convolution] {
        layers.flatMap { layer -> [Convolution] in
            switch layer {
            case .convolution(let one, _): [one]
            case .block(let first, let second, let third): [first, second, third]
            }
        }
    }

    /// Multiply-adds of one forward, or of one backward.
    func multiplyAdds(height: Int, width: Int) -> Int {
        var size = (height: height, width: width)
        var sum = 0
        for convolution in convolutions {
            sum += convolution.multiplyAdds(height: size.height, width: size.width)
            size = convolution.outputSize(height: size.height, width: size.width)
        }
        return sum
    }

    /// Memory for one picture at a time, and for what its backward reads.
    final class Workspace {
        let height: Int
        let width: Int
        let bytes: Int
        /// The present picture is in one; a block needs the other two meanwhile.
        fileprivate let pictures: [PlaneBuffer]
        /// For each layer, what its rectifiers let pass: one of a convolution, three of a block.
        fileprivate let signs: [[SignBuffer]]

        /// - Parameter gradients: whether ``ResidualStack/backward(_:_:seat:)`` will be called.
        init(_ stack: ResidualStack, height: Int, width: Int, element: Element, gradients: Bool) {
            self.height = height
            self.width = width
            var size = (height: height, width: width)
            var area = 0
            var signs: [[SignBuffer]] = []
            var largest = (height: height, width: width, channels: 0)
            func consider(_ channels: Int) {
                let own = (size.height + 2) * (size.width + 2) * channels
                if own > area {
                    area = own
                    largest = (size.height, size.width, channels)
                }
            }
            for layer in stack.layers {
                switch layer {
                case .convolution(let convolution, let rectified):
                    consider(convolution.planeInputs)
                    size = convolution.outputSize(height: size.height, width: size.width)
                    consider(convolution.planeOutputs)
                    signs.append(
                        gradients && rectified
                            ? [
                                SignBuffer(
                                    height: size.height, width: size.width,
                                    channels: convolution.planeOutputs)
                            ] : [])
                case .block(let first, let second, let third):
                    signs.append(
                        gradients
                            ? [first, second, third].map {
                                SignBuffer(
                                    height: size.height, width: size.width,
                                    channels: $0.planeOutputs)
                            } : [])
                }
            }
            self.signs = signs
            pictures = (0..<3).map { _ in
                PlaneBuffer(
                    height: largest.height, width: largest.width, channels: largest.channels,
                    element: element)
            }
            bytes =
                pictures.reduce(0) { $0 + $1.bytes }
                + signs.joined().reduce(0) { $0 + $1.bytes }
        }
    }

    /// Runs all layers.
    ///
    /// - Parameters:
    ///   - fill: writes the input into the picture that it is given.
    ///   - read: is lent the result.
    func forward(
        _ workspace: Workspace, seat: ComputeSeat, fill: (Plane) -> Void, read: (Plane) -> Void
    ) {
        var size = (height: workspace.height, width: workspace.width)
        var present = 0
        var x = workspace.pictures[0].lend(
            height: size.height, width: size.width, channels: firstChannels)
        fill(x)
        for (layer, signs) in zip(layers, workspace.signs) {
            switch layer {
            case .convolution(let convolution, let rectified):
                size = convolution.outputSize(height: size.height, width: size.width)
                present = (present + 1) % 3
                let y = workspace.pictures[present].lend(
                    height: size.height, width: size.width, channels: convolution.planeOutputs)
                convolution.forward(
                    x, into: y, rectified: rectified, signs: signs.first, seat: seat)
                x = y
            case .block(let first, let second, let third):
                let others = [1, 2].map {
                    workspace.pictures[(present + $0) % 3].lend(
                        height: size.height, width: size.width, channels: first.planeOutputs)
                }
                let kept = signs.isEmpty ? [nil, nil, nil] : signs.map(Optional.some)
                first.forward(x, into: others[0], rectified: true, signs: kept[0], seat: seat)
                second.forward(
                    others[0], into: others[1], rectified: true, signs: kept[1], seat: seat)
                third.forward(
                    others[1], into: x, adding: x, rectified: true, signs: kept[2], seat: seat)
            }
        }
        read(x)
    }

    /// The gradient at the input of the last ``forward(_:seat:fill:read:)`` in this workspace.
    ///
    /// - Parameters:
    ///   - fill: writes the gradient at the result into the picture that it is given.
    ///   - read: is lent the gradient at the input.
    func backward(
        _ workspace: Workspace, seat: ComputeSeat, fill: (Plane) -> Void, read: (Plane) -> Void
    ) {
        var sizes = [(height: workspace.height, width: workspace.width)]
        for layer in layers {
            let last = sizes[sizes.count - 1]
            if case .convolution(let convolution, _) = layer {
                sizes.append(convolution.outputSize(height: last.height, width: last.width))
            } else {
                sizes.append(last)
            }
        }
        var present = 0
        let end = sizes[layers.count]
        var dy = workspace.pictures[0].lend(
            height: end.height, width: end.width, channels: lastChannels)
        fill(dy)
        for index in layers.indices.reversed() {
            // Each layer hands on a gradient that the rectifier before it has already masked.
            let mask = index > 0 ? workspace.signs[index - 1].last : nil
            let size = sizes[index]
            switch layers[index] {
            case .convolution(let convolution, _):
                present = (present + 1) % 3
                let dx = workspace.pictures[present].lend(
                    height: size.height, width: size.width, channels: convolution.planeInputs)
                convolution.inputGradient(dy, into: dx, mask: mask, seat: seat)
                dy = dx
            case .block(let first, let second, let third):
                let others = [1, 2].map {
                    workspace.pictures[(present + $0) % 3].lend(
                        height: size.height, width: size.width, channels: first.planeOutputs)
                }
                let signs = workspace.signs[index]
                third.inputGradient(dy, into: others[0], mask: signs[1], seat: seat)
                second.inputGradient(others[0], into: others[1], mask: signs[0], seat: seat)
                first.inputGradient(others[1], into: dy, adding: dy, mask: mask, seat: seat)
            }
        }
        read(dy)
    }

    private var firstChannels: Int { convolutions.first?.planeInputs ?? 0 }
    private var lastChannels: Int { convolutions.last?.planeOutputs ?? 0 }
}
