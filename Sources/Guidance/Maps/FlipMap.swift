/// Mirrors every row.
public struct FlipMap: AffineMap {
    public let input: ImageShape
    public var output: ImageShape { input }

    public init(_ shape: ImageShape) { input = shape }

    public func forward(_ x: [Float]) -> [Float] {
        precondition(x.count == input.count, "image of another size")
        let width = input.width
        return [Float](unsafeUninitializedCapacity: x.count) { y, count in
            for row in 0..<x.count / width {
                for column in 0..<width {
                    y.initializeElement(
                        at: row * width + column, to: x[row * width + width - 1 - column])
                }
            }
            count = x.count
        }
    }

    /// Its own transpose.
    public func pullback(_ dy: [Float]) -> [Float] { forward(dy) }
}
