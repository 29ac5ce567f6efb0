/// Every pixel's channels through one matrix and a constant: y = M·x + c.
public struct ColourMap: AffineMap {
    public let input: ImageShape
    public var output: ImageShape { input }
    /// [channels, channels], row-major.
    private let matrix: [Float]
    private let constant: [Float]

    public init(_ shape: ImageShape, matrix: [Float], constant: [Float]) {
        let channels = shape.channels
        precondition(
            matrix.count == channels * channels && constant.count == channels, "a row a channel")
        input = shape
        self.matrix = matrix
        self.constant = constant
    }

    /// The luma of ITU-R 601, as torchvision's `rgb_to_grayscale` has it.
    public static let luma: [Float] = [0.2989, 0.587, 0.114]

    /// x with every channel replaced by its luma.
    public static func grey(_ shape: ImageShape) -> ColourMap {
        saturation(shape, by: 0)
    }

    /// factor · x: torchvision's brightness, without its clamp.
    public static func brightness(_ shape: ImageShape, by factor: Float) -> ColourMap {
        let zero: [Float] = [0, 0, 0]
        return ColourMap(
            shape, matrix: [factor, 0, 0, 0, factor, 0, 0, 0, factor], constant: zero)
    }

    /// factor · x + (1 − factor) · luma(x): torchvision's saturation, without its clamp.
    public static func saturation(_ shape: ImageShape, by factor: Float) -> ColourMap {
        precondition(shape.channels == 3, "colours")
        let matrix = (0..<9).map { index in
            (index / 3 == index % 3 ? factor : 0) + (1 - factor) * luma[index % 3]
        }
        return ColourMap(shape, matrix: matrix, constant: [0, 0, 0])
    }

    public func forward(_ x: [Float]) -> [Float] {
        mixed(x, constant: constant) { matrix[$0 * input.channels + $1] }
    }

    public func pullback(_ dy: [Float]) -> [Float] {
        mixed(dy, constant: nil) { matrix[$1 * input.channels + $0] }
    }

    /// Plane i of the result is Σⱼ weight(i, j) · plane j.
    private func mixed(
        _ x: [Float], constant: [Float]?, weight: (Int, Int) -> Float
    ) -> [Float] {
        precondition(x.count == input.count, "image of another size")
        let (channels, area) = (input.channels, input.area)
        var y = [Float](repeating: 0, count: x.count)
        for row in 0..<channels {
            let weights = (0..<channels).map { weight(row, $0) }
            let start = constant?[row] ?? 0
            y.withUnsafeMutableBufferPointer { y in
                x.withUnsafeBufferPointer { x in
                    for pixel in 0..<area {
                        var sum = start
                        for column in 0..<channels {
                            sum += weights[column] * x[column * area + pixel]
                        }
                        y[row * area + pixel] = sum
                    }
                }
            }
        }
        return y
    }
}

/// factor · x + (1 − factor) · m with m the mean luma of the whole image: torchvision's contrast,
/// without its clamp.
public struct ContrastMap: AffineMap {
    public let input: ImageShape
    public var output: ImageShape { input }
    private let factor: Float

    public init(_ shape: ImageShape, by factor: Float) {
        precondition(shape.channels == 3, "colours")
        input = shape
        self.factor = factor
    }

    public func forward(_ x: [Float]) -> [Float] {
        precondition(x.count == input.count, "image of another size")
        var mean = 0.0
        for channel in 0..<3 {
            let plane = x[channel * input.area..<(channel + 1) * input.area]
            mean += Double(ColourMap.luma[channel]) * plane.reduce(0.0) { $0 + Double($1) }
        }
        let rest = (1 - factor) * Float(mean / Double(input.area))
        return x.map { factor * $0 + rest }
    }

    public func pullback(_ dy: [Float]) -> [Float] {
        precondition(dy.count == input.count, "gradient of another size")
        let sum = dy.reduce(0.0) { $0 + Double($1) }
        let rest = Double(1 - factor) * sum / Double(input.area)
        var dx = [Float](repeating: 0, count: dy.count)
        for channel in 0..<3 {
            let own = Float(rest * Double(ColourMap.luma[channel]))
            for index in channel * input.area..<(channel + 1) * input.area {
                dx[index] = factor * dy[index] + own
            }
        }
        return dx
    }
}
