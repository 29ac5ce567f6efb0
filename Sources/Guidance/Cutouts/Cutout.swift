/// A part of a picture that a model looks at: a box, and what is done to it on the way. A list of
/// cutouts says everything about a step's views: the same list gives the same pixels.
public struct Cutout: Sendable, Equatable {
    /// In pixels of the picture that is cut; outside it there is black.
    public var top: Int
    public var left: Int
    public var height: Int
    public var width: Int
    /// What is done, in order; a step before `.resize` works on the box's own size.
    public var steps: [Step]

    public enum Step: Sendable, Equatable {
        /// To the tower's size.
        case resize(ResizeFilter)
        case flip
        case grey
        case noise(deviation: Float, seed: UInt64)
        /// Pixels of the tower's input.
        case affine(degrees: Double, dx: Double, dy: Double)
        case brightness(Float)
        case contrast(Float)
        case saturation(Float)
        /// Turns of the whole circle.
        case hue(Float)
    }

    public init(top: Int, left: Int, height: Int, width: Int, steps: [Step]) {
        self.top = top
        self.left = left
        self.height = height
        self.width = width
        self.steps = steps
    }

    /// The cutout as a chain of maps from the picture to [3, size, size], not normalised.
    ///
    /// Brightness, contrast and saturation clamp to 0…1, as torchvision has them.
    public func maps(of picture: ImageShape, size: Int) -> MapChain {
        var maps: [any DifferentiableMap] = []
        var pending = Resampling(picture).crop(
            top: top, left: left, height: height, width: width)
        var isPending = true
        func finish() {
            if isPending { maps.append(ResampleMap(pending)) }
            isPending = false
        }
        for step in steps {
            if case .resize(let filter) = step {
                if !isPending { pending = Resampling(maps.last?.output ?? picture) }
                maps.append(ResampleMap(pending.resize(height: size, width: size, filter)))
                isPending = false
                continue
            }
            finish()
            let shape = maps.last?.output ?? picture
            switch step {
            case .resize: break
            case .flip: maps.append(FlipMap(shape))
            case .grey: maps.append(ColourMap.grey(shape))
            case .noise(let deviation, let seed):
                maps.append(OffsetMap.noise(shape, deviation: deviation, seed: seed))
            case .affine(let degrees, let dx, let dy):
                maps.append(WarpMap(shape, degrees: degrees, dx: dx, dy: dy))
            case .brightness(let factor):
                maps += [ColourMap.brightness(shape, by: factor), ClampMap(shape)]
            case .contrast(let factor):
                maps += [ContrastMap(shape, by: factor), ClampMap(shape)]
            case .saturation(let factor):
                maps += [ColourMap.saturation(shape, by: factor), ClampMap(shape)]
            case .hue(let turns): maps.append(HueMap(shape, by: turns))
            }
        }
        finish()
        return MapChain(maps)
    }
}

/// Maps one after the other, as many as a list says.
public struct MapChain: DifferentiableMap {
    private let maps: [any DifferentiableMap]
    public let input: ImageShape
    public let output: ImageShape

    /// - Parameter maps: at least one; each takes what the one before makes.
    public init(_ maps: [any DifferentiableMap]) {
        guard let first = maps.first, let last = maps.last else {
            preconditionFailure("a chain of no maps")
        }
        for (map, next) in zip(maps, maps.dropFirst()) {
            precondition(map.output == next.input, "a map takes what the one before it makes")
        }
        self.maps = maps
        input = first.input
        output = last.output
    }

    public func forward(_ x: [Float]) -> [Float] { maps.reduce(x) { $1.forward($0) } }

    /// What lies between the maps is computed again, as far as the last that is not affine.
    public func pullback(_ dy: [Float], at x: [Float]) -> [Float] {
        let last = maps.lastIndex { !($0 is any AffineMap) } ?? 0
        var between = [x]
        for map in maps.prefix(last) { between.append(map.forward(between[between.count - 1])) }
        var d = dy
        for (index, map) in maps.enumerated().reversed() {
            d = map.pullback(d, at: index < between.count ? between[index] : [])
        }
        return d
    }
}
