import Glibc

/// Rotates and moves an image about its centre, sampled bilinearly, with black outside: torchvision's
/// `affine(interpolation=BILINEAR, fill=0)`, which fades towards the edge twice, since it multiplies
/// what it sampled by how much of the image each sample saw.
public struct WarpMap: AffineMap {
    public let input: ImageShape
    public var output: ImageShape { input }
    /// For each output pixel four inputs and their weights; a weight of 0 stands for one outside.
    private let places: [SIMD4<Int32>]
    private let weights: [SIMD4<Float>]

    /// - Parameters:
    ///   - degrees: clockwise, as torchvision has it.
    ///   - dx, dy: pixels that the image moves to the right and down.
    public init(_ shape: ImageShape, degrees: Double, dx: Double, dy: Double) {
        input = shape
        let angle = degrees * Double.pi / 180
        let (cosine, sine) = (cos(angle), sin(angle))
        let (height, width) = (shape.height, shape.width)
        var places: [SIMD4<Int32>] = []
        var weights: [SIMD4<Float>] = []
        places.reserveCapacity(shape.area)
        weights.reserveCapacity(shape.area)
        for row in 0..<height {
            for column in 0..<width {
                // From the centre, before the move; then turned back.
                let x = Double(column) + 0.5 - Double(width) / 2 - dx
                let y = Double(row) + 0.5 - Double(height) / 2 - dy
                let sourceX = cosine * x + sine * y + Double(width) / 2 - 0.5
                let sourceY = -sine * x + cosine * y + Double(height) / 2 - 0.5
                let (left, top) = (floor(sourceX), floor(sourceY))
                let (right, below) = (sourceX - left, sourceY - top)
                var place = SIMD4<Int32>(repeating: 0)
                var weight = SIMD4<Double>(repeating: 0)
                for corner in 0..<4 {
                    let (down, across) = (corner / 2, corner % 2)
                    let (r, c) = (top + Double(down), left + Double(across))
                    guard r >= 0, r < Double(height), c >= 0, c < Double(width) else { continue }
                    place[corner] = Int32(r) * Int32(width) + Int32(c)
                    weight[corner] =
                        (down == 1 ? below : 1 - below) * (across == 1 ? right : 1 - right)
                }
                places.append(place)
                weights.append(SIMD4<Float>(weight * weight.sum()))
            }
        }
        self.places = places
        self.weights = weights
    }

    public func forward(_ x: [Float]) -> [Float] {
        precondition(x.count == input.count, "image of another size")
        let area = input.area
        return (0..<input.channels).flatMap { channel in
            zip(places, weights).map { place, weight in
                var sum: Float = 0
                for corner in 0..<4 {
                    sum += weight[corner] * x[channel * area + Int(place[corner])]
                }
                return sum
            }
        }
    }

    public func pullback(_ dy: [Float]) -> [Float] {
        precondition(dy.count == input.count, "gradient of another size")
        let area = input.area
        var dx = [Float](repeating: 0, count: dy.count)
        for channel in 0..<input.channels {
            for (pixel, (place, weight)) in zip(places, weights).enumerated() {
                let d = dy[channel * area + pixel]
                for corner in 0..<4 {
                    dx[channel * area + Int(place[corner])] += weight[corner] * d
                }
            }
        }
        return dx
    }
}
