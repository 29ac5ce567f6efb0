package import Encoders
import Glibc

/// Three values for each pixel of an image: [3, height, width].
package struct PixelMap: Equatable, Sendable {
    package let values: [Float]
    package let height: Int
    package let width: Int

    package init(values: [Float], height: Int, width: Int) {
        precondition(values.count == 3 * height * width, "three values a pixel")
        self.values = values
        self.height = height
        self.width = width
    }

    /// The Euclidean length of all values together.
    package var norm: Double {
        values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
    }

    /// The Euclidean length at each pixel: [height, width].
    package var magnitudes: [Float] {
        let size = height * width
        return (0..<size).map { pixel in
            let (r, g, b) = (values[pixel], values[size + pixel], values[2 * size + pixel])
            return (r * r + g * g + b * b).squareRoot()
        }
    }
}

/// A picture of where a gradient is long, laid over the image in grey.
package struct HeatMap: Sendable {
    private let gradient: PixelMap
    /// [height, width] in 0…1; `nil` for an image that cannot be shown here.
    private let ground: [Float]?

    /// - Parameter file: the image as PNG bytes; the map is drawn without it when it cannot be
    ///   decoded here (the daemon may know more formats) or has another size.
    package init(_ gradient: PixelMap, over file: [UInt8]) {
        self.gradient = gradient
        ground = HeatMap.luma(of: file, height: gradient.height, width: gradient.width)
    }

    private static func luma(of file: [UInt8], height: Int, width: Int) -> [Float]? {
        guard let image = try? PNGDecoder.decode(file, limits: ImageLimits()),
            image.height == height, image.width == width
        else { return nil }
        let planes = image.unitPlanes(.transformersPIL)
        let size = height * width
        guard planes.count == 3 * size else { return nil }
        // Rec. 601 weights, as PIL's grey.
        return (0..<size).map {
            0.299 * planes[$0] + 0.587 * planes[size + $0] + 0.114 * planes[2 * size + $0]
        }
    }

    /// How bright each pixel is, 0…1: the square root of its gradient's length over the 99th
    /// percentile of all, so that a few extreme pixels do not leave the rest black.
    package static func intensities(_ magnitudes: [Float]) -> [Float] {
        let finite = magnitudes.filter(\.isFinite).sorted()
        guard let top = finite.last, top > 0 else { return magnitudes.map { _ in 0 } }
        let percentile = finite[min(finite.count - 1, finite.count * 99 / 100)]
        let scale = percentile > 0 ? percentile : top
        return magnitudes.map { $0.isFinite ? min($0 / scale, 1).squareRoot() : 0 }
    }

    /// The picture as PNG bytes, as large as the gradient.
    package func png() throws(EncoderError) -> [UInt8] {
        let intensities = HeatMap.intensities(gradient.magnitudes)
        var pixels: [UInt8] = []
        pixels.reserveCapacity(3 * intensities.count)
        for (index, intensity) in intensities.enumerated() {
            let colour = ColourMap.heat[Int((intensity * 255).rounded())]
            // Where the gradient vanishes the image shows through, darkened.
            let opacity = ground == nil ? 1 : 0.25 + 0.75 * intensity
            let grey = (ground?[index] ?? 0) * 255 * 0.5
            for channel in [colour.red, colour.green, colour.blue] {
                let mixed = Float(channel) * opacity + grey * (1 - opacity)
                pixels.append(UInt8(min(max(mixed.rounded(), 0), 255)))
            }
        }
        return try PNGEncoder.encode(
            rgb: pixels, height: gradient.height, width: gradient.width)
    }
}
