/// The cheapest way from latents to a picture: each pixel's colour is a linear function of one latent
/// pixel, at the latents' own height and width.
///
/// It says which colours are where and nothing finer than eight pixels; its gradient costs next to
/// nothing. image = ((colours · x + bias) + 1) / 2, about 0…1 and not clamped.
public struct LinearDecoder: Sendable {
    public let format: LatentFormat
    public let space: LatentFormat.Space

    public init(_ format: LatentFormat, space: LatentFormat.Space = .model) {
        self.format = format
        self.space = space
    }

    /// What a latent of the chosen space is multiplied by, after the shift is taken off.
    private var scale: Float { space == .vae ? format.scale : 1 }
    private var shift: Float { space == .vae ? format.shift : 0 }

    /// The picture [3, area] of latents [channels, area].
    public func forward(_ latents: [Float]) -> [Float] {
        let area = latents.count / format.channels
        precondition(latents.count == area * format.channels, "latents of another size")
        var image = [Float](repeating: 0, count: 3 * area)
        for colour in 0..<3 {
            // The shift is a constant of the colour.
            var constant = format.colourBias[colour]
            for channel in 0..<format.channels {
                constant -= format.colours[channel][colour] * shift * scale
            }
            for pixel in 0..<area { image[colour * area + pixel] = (constant + 1) / 2 }
            for channel in 0..<format.channels {
                let factor = format.colours[channel][colour] * scale / 2
                for pixel in 0..<area {
                    image[colour * area + pixel] += factor * latents[channel * area + pixel]
                }
            }
        }
        return image
    }

    /// The gradient at the latents [channels, area] from that at the picture [3, area].
    public func pullback(_ dImage: [Float]) -> [Float] {
        let area = dImage.count / 3
        precondition(dImage.count == 3 * area, "a picture of another size")
        var dLatents = [Float](repeating: 0, count: format.channels * area)
        for channel in 0..<format.channels {
            for colour in 0..<3 {
                let factor = format.colours[channel][colour] * scale / 2
                for pixel in 0..<area {
                    dLatents[channel * area + pixel] += factor * dImage[colour * area + pixel]
                }
            }
        }
        return dLatents
    }
}
