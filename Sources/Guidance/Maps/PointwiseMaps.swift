/// Adds values that do not depend on the image: noise, or one number.
public struct OffsetMap: AffineMap {
    public let input: ImageShape
    public var output: ImageShape { input }
    private let offsets: [Float]

    /// - Parameter offsets: as many as the image has values.
    public init(_ shape: ImageShape, offsets: [Float]) {
        precondition(offsets.count == shape.count, "a value each")
        input = shape
        self.offsets = offsets
    }

    public init(_ shape: ImageShape, by value: Float) {
        self.init(shape, offsets: [Float](repeating: value, count: shape.count))
    }

    /// Normal noise of a deviation, from a seed alone.
    public static func noise(_ shape: ImageShape, deviation: Float, seed: UInt64) -> OffsetMap {
        var random = SeededRandom(seed)
        return OffsetMap(
            shape, offsets: (0..<shape.count).map { _ in deviation * Float(random.normal()) })
    }

    public func forward(_ x: [Float]) -> [Float] {
        precondition(x.count == input.count, "image of another size")
        return zip(x, offsets).map { $0 + $1 }
    }

    public func pullback(_ dy: [Float]) -> [Float] { dy }
}

/// Values outside a range become its ends, and have no gradient there; the ends themselves have, as
/// torch's `clamp` has it.
public struct ClampMap: DifferentiableMap {
    public let input: ImageShape
    public var output: ImageShape { input }
    private let range: ClosedRange<Float>

    public init(_ shape: ImageShape, to range: ClosedRange<Float> = 0...1) {
        input = shape
        self.range = range
    }

    public func forward(_ x: [Float]) -> [Float] {
        precondition(x.count == input.count, "image of another size")
        return x.map { min(max($0, range.lowerBound), range.upperBound) }
    }

    public func pullback(_ dy: [Float], at x: [Float]) -> [Float] {
        precondition(dy.count == input.count && x.count == input.count, "gradient of another size")
        return zip(dy, x).map { range.contains($1) ? $0 : 0 }
    }
}
