/// Turns every pixel's hue: torchvision's `adjust_hue`.
///
/// In HSV the greatest and the least channel of a pixel keep their values and only the one between them
/// and their order change, so the map is linear wherever the order of the channels and the sector of the
/// hue stay the same. As there, all but the greatest value are clamped to 0…1, and a grey pixel stays as
/// it is.
public struct HueMap: DifferentiableMap {
    public let input: ImageShape
    public var output: ImageShape { input }
    /// Sixths of a turn.
    private let turn: Float

    /// - Parameter turns: of the whole circle, −0.5…0.5.
    public init(_ shape: ImageShape, by turns: Float) {
        precondition(shape.channels == 3, "colours")
        input = shape
        turn = 6 * turns
    }

    public func forward(_ x: [Float]) -> [Float] {
        precondition(x.count == input.count, "image of another size")
        var y = x
        let area = input.area
        for pixel in 0..<area {
            guard let turned = Turned(x[pixel], x[area + pixel], x[2 * area + pixel], turn)
            else { continue }
            for (place, value) in zip(turned.places, turned.values) {
                y[place * area + pixel] = value
            }
        }
        return y
    }

    public func pullback(_ dy: [Float], at x: [Float]) -> [Float] {
        precondition(dy.count == input.count && x.count == input.count, "gradient of another size")
        var dx = dy
        let area = input.area
        for pixel in 0..<area {
            guard let turned = Turned(x[pixel], x[area + pixel], x[2 * area + pixel], turn)
            else { continue }
            let d = turned.pullback(turned.places.map { dy[$0 * area + pixel] })
            for (place, value) in zip(turned.sources, d) { dx[place * area + pixel] = value }
        }
        return dx
    }
}

/// One pixel's channels by size, before and after.
private struct Turned {
    /// The channels of the greatest, the middle and the least value; and where they go.
    let sources: [Int]
    let places: [Int]
    /// The greatest, the middle and the least value afterwards.
    let values: [Float]
    /// The middle value is `base` of them: (greatest, middle, least)·slopes.
    private let slopes: SIMD3<Float>
    private let isMiddleKept: Bool
    private let isLeastKept: Bool

    /// The channels' order in each sixth of the circle, from red.
    private static let orders = [
        [0, 1, 2], [1, 0, 2], [1, 2, 0], [2, 1, 0], [2, 0, 1], [0, 2, 1],
    ]

    /// `nil` for a grey pixel.
    init?(_ red: Float, _ green: Float, _ blue: Float, _ turn: Float) {
        let colours = [red, green, blue]
        let greatest = max(red, green, blue)
        let least = min(red, green, blue)
        let chroma = greatest - least
        guard chroma > 0 else { return nil }
        // torchvision prefers red, then green, where two are the greatest.
        let top = red == greatest ? 0 : green == greatest ? 1 : 2
        let (after, before) = (colours[(top + 1) % 3], colours[(top + 2) % 3])
        let hue = Float(2 * top) + (after - before) / chroma
        var turned = (hue + turn).truncatingRemainder(dividingBy: 6)
        if turned < 0 { turned += 6 }
        let sector = min(Int(turned), 5)
        let fraction = turned - Float(sector)
        // Within a sector the middle value rises with the hue in even ones and falls in odd ones.
        let rose = after >= before
        let middle = rose ? (top + 1) % 3 : (top + 2) % 3
        sources = [top, middle, 3 - top - middle]
        places = Turned.orders[sector]
        let share = (colours[middle] - least) / chroma
        let rises = sector % 2 == 0
        let slope: Float = rose == rises ? 1 : -1
        // middle′ = least + chroma · m, with m = slope · share + rest.
        let m = rises ? fraction : 1 - fraction
        let rest = m - slope * share
        slopes = SIMD3(rest, slope, 1 - slope - rest)
        let newMiddle = least + chroma * m
        isMiddleKept = (0...1).contains(newMiddle)
        isLeastKept = (0...1).contains(least)
        values = [greatest, min(max(newMiddle, 0), 1), min(max(least, 0), 1)]
    }

    /// From gradients of the greatest, middle and least value afterwards to those before.
    func pullback(_ d: [Float]) -> [Float] {
        let middle = isMiddleKept ? d[1] : 0
        let least = isLeastKept ? d[2] : 0
        return [
            d[0] + slopes.x * middle, slopes.y * middle, slopes.z * middle + least,
        ]
    }
}
