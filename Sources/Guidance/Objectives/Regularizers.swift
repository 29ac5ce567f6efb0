/// Losses on an image's own pixels, each with its gradient. Images are [channels, height, width], and
/// every mean is over all values of one image.
public enum Regularizer: String, Sendable, CaseIterable {
    /// mean(Δx² + Δy²) of neighbours to the right and below, the last row and column repeated
    /// (K. Crowson's `tv_loss`).
    case totalVariation = "tv"
    /// mean((x − clamp(x))²) (K. Crowson's `range_loss`).
    case range
    /// mean |x − clamp(x)| (disco's `sat_scale`).
    case saturation

    /// The loss and its gradient.
    ///
    /// - Parameter limits: what `range` and `saturation` clamp to: 0…1, or −1…1 where a recipe's
    ///   pixels are.
    public func value(
        of image: [Float], shape: ImageShape, limits: ClosedRange<Float> = 0...1
    ) -> (loss: Double, gradient: [Float]) {
        precondition(image.count == shape.count, "image of another size")
        if self == .totalVariation { return Regularizer.variation(image, shape) }
        var loss = 0.0
        var gradient = [Float](repeating: 0, count: image.count)
        let count = Double(image.count)
        for (index, x) in image.enumerated() {
            let excess = Double(x) - Double(min(max(x, limits.lowerBound), limits.upperBound))
            guard excess != 0 else { continue }
            if self == .range {
                loss += excess * excess
                gradient[index] = Float(2 * excess / count)
            } else {
                loss += abs(excess)
                gradient[index] = Float((excess > 0 ? 1 : -1) / count)
            }
        }
        return (loss / count, gradient)
    }

    private static func variation(
        _ image: [Float], _ shape: ImageShape
    ) -> (loss: Double, gradient: [Float]) {
        var loss = 0.0
        var gradient = [Float](repeating: 0, count: image.count)
        let scale = 2 / Double(image.count)
        func pair(_ a: Int, _ b: Int) {
            let difference = Double(image[b]) - Double(image[a])
            loss += difference * difference
            gradient[b] += Float(scale * difference)
            gradient[a] -= Float(scale * difference)
        }
        for row in 0..<shape.channels * shape.height {
            let isLastRow = row % shape.height == shape.height - 1
            for column in 0..<shape.width {
                let index = row * shape.width + column
                if column + 1 < shape.width { pair(index, index + 1) }
                if !isLastRow { pair(index, index + shape.width) }
            }
        }
        return (loss / Double(image.count), gradient)
    }
}
