/// Losses of an image alone, which keep steering from what no camera would see.
///
/// Values are those of the recipes, whose images lie in −1…1: pixels 0…1 are stretched first. Sources:
/// crowson's and disco-diffusion's `tv_loss`, `range_loss` and saturation loss.
public enum Regularizer: String, CaseIterable, Sendable {
    /// Mean of dx² + dy² over all values; differences at the right and lower edge are 0.
    case totalVariation = "tv"
    /// Mean of the squared distance to −1…1.
    case range
    /// Mean of the distance to −1…1.
    case saturation

    /// The loss of one image, and its gradient times `weight` added to `gradient`.
    ///
    /// - Parameters:
    ///   - pixels: [3, height, width], nominally 0…1.
    ///   - gradient: with respect to `pixels`.
    /// - Returns: the loss, not weighted.
    public func add(
        of pixels: [Float], height: Int, width: Int, weight: Float, to gradient: inout [Float]
    ) -> Float {
        precondition(pixels.count == gradient.count && pixels.count % (height * width) == 0)
        // d(2x − 1)/dx = 2, and the mean.
        let slope = 2 * Double(weight) / Double(pixels.count)
        var sum = 0.0
        switch self {
        case .totalVariation:
            let planes = pixels.count / (height * width)
            for plane in 0..<planes {
                for y in 0..<height {
                    let row = (plane * height + y) * width
                    for x in 0..<width {
                        let here = row + x
                        if x + 1 < width {
                            sum += Self.differ(pixels, here, here + 1, slope, &gradient)
                        }
                        if y + 1 < height {
                            sum += Self.differ(pixels, here, here + width, slope, &gradient)
                        }
                    }
                }
            }
        case .range:
            for index in pixels.indices {
                let excess = Self.excess(pixels[index])
                sum += excess * excess
                gradient[index] += Float(2 * excess * slope)
            }
        case .saturation:
            for index in pixels.indices {
                let excess = Self.excess(pixels[index])
                sum += abs(excess)
                if excess != 0 { gradient[index] += Float(excess > 0 ? slope : -slope) }
            }
        }
        return Float(sum / Double(pixels.count))
    }

    /// How far a stretched pixel lies beyond −1…1.
    private static func excess(_ pixel: Float) -> Double {
        let value = 2 * Double(pixel) - 1
        return value - min(max(value, -1), 1)
    }

    /// The squared difference of two stretched pixels; adds its gradient at both.
    private static func differ(
        _ pixels: [Float], _ first: Int, _ second: Int, _ slope: Double, _ gradient: inout [Float]
    ) -> Double {
        let difference = 2 * (Double(pixels[second]) - Double(pixels[first]))
        let step = Float(2 * difference * slope)
        gradient[second] += step
        gradient[first] -= step
        return difference * difference
    }
}
