/// The size of an image on its way through maps: planes of rows, [channels, height, width].
public struct ImageShape: Sendable, Hashable {
    public let channels: Int
    public let height: Int
    public let width: Int

    public init(channels: Int = 3, height: Int, width: Int) {
        self.channels = channels
        self.height = height
        self.width = width
    }

    /// Pixels of one plane.
    public var area: Int { height * width }
    /// Values in all.
    public var count: Int { channels * area }
}

/// A step between images that gradients go back through: a crop, a resize, an augmentation.
///
/// A map has no state, so the same values always give the same bits.
public protocol DifferentiableMap: Sendable {
    var input: ImageShape { get }
    var output: ImageShape { get }

    /// f(x), [output].
    func forward(_ x: [Float]) -> [Float]

    /// Jᵀ·dy with J the derivative of f at x: d(loss)/dx, [input], from d(loss)/d(f(x)), [output].
    ///
    /// It is the exact transpose: ⟨J·v, dy⟩ = ⟨v, pullback(dy)⟩ up to rounding.
    func pullback(_ dy: [Float], at x: [Float]) -> [Float]

    /// Adds the pullback to a gradient that others have contributed to, as the pixels do that several
    /// crops see.
    func addPullback(_ dy: [Float], at x: [Float], to dx: inout [Float])
}

/// A linear map and a constant: its derivative is the same everywhere, so that the way back needs
/// nothing of the way there.
public protocol AffineMap: DifferentiableMap {
    /// The transpose of the linear part.
    func pullback(_ dy: [Float]) -> [Float]

    /// Adds the pullback to a gradient that others have contributed to.
    func addPullback(_ dy: [Float], to dx: inout [Float])
}

extension DifferentiableMap {
    public func addPullback(_ dy: [Float], at x: [Float], to dx: inout [Float]) {
        add(pullback(dy, at: x), to: &dx)
    }

    /// First this map, then another that takes what it makes.
    public func then<Next: DifferentiableMap>(_ next: Next) -> Composition<Self, Next> {
        Composition(self, next)
    }
}

extension AffineMap {
    public func pullback(_ dy: [Float], at x: [Float]) -> [Float] { pullback(dy) }

    public func addPullback(_ dy: [Float], to dx: inout [Float]) { add(pullback(dy), to: &dx) }

    public func addPullback(_ dy: [Float], at x: [Float], to dx: inout [Float]) {
        addPullback(dy, to: &dx)
    }
}

/// Two maps one after the other.
public struct Composition<First: DifferentiableMap, Second: DifferentiableMap>: DifferentiableMap {
    public let first: First
    public let second: Second

    init(_ first: First, _ second: Second) {
        precondition(first.output == second.input, "a map takes what the one before it makes")
        self.first = first
        self.second = second
    }

    public var input: ImageShape { first.input }
    public var output: ImageShape { second.output }

    public func forward(_ x: [Float]) -> [Float] { second.forward(first.forward(x)) }

    /// What lies between the two is computed again, not kept.
    public func pullback(_ dy: [Float], at x: [Float]) -> [Float] {
        first.pullback(second.pullback(dy, at: first.forward(x)), at: x)
    }
}

extension Composition: AffineMap where First: AffineMap, Second: AffineMap {
    public func pullback(_ dy: [Float]) -> [Float] { first.pullback(second.pullback(dy)) }
}

/// dx += d.
private func add(_ d: [Float], to dx: inout [Float]) {
    precondition(d.count == dx.count, "gradients of one image")
    dx.withUnsafeMutableBufferPointer { dx in
        d.withUnsafeBufferPointer { d in
            for index in d.indices { dx[index] += d[index] }
        }
    }
}
