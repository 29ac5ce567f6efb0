import Glibc

/// Colours that the eye sees as evenly spaced.
package enum ColourMap {
    package struct Colour: Equatable, Sendable {
        package let red: UInt8
        package let green: UInt8
        package let blue: UInt8
    }

    /// 256 colours from near-black violet over red to pale yellow.
    ///
    /// A path through Oklab's cylinder (B. Ottosson, "A perceptual color space for image
    /// processing", 2020): lightness rises linearly, so equal steps look equal and the map still
    /// reads in grey; the hue turns from violet (295°) through red to yellow (105°); the chroma is
    /// a bow, cut back to what sRGB can show.
    package static let heat: [Colour] = (0..<256).map { step in
        let t = Double(step) / 255
        let lightness = 0.12 + 0.85 * t
        let hue = (295 + 170 * t) * .pi / 180
        let chroma = 0.04 + 0.20 * sin(.pi * min(0.12 + 0.82 * t, 1))
        return displayable(lightness, chroma, hue)
    }

    /// The colour of this lightness and hue with the largest chroma up to `chroma` that sRGB has.
    private static func displayable(
        _ lightness: Double, _ chroma: Double, _ hue: Double
    ) -> Colour {
        var low = 0.0
        var high = chroma
        if isDisplayable(linear(lightness, chroma, hue)) { low = chroma }
        for _ in 0..<30 where low < high {
            let middle = (low + high) / 2
            if isDisplayable(linear(lightness, middle, hue)) { low = middle } else { high = middle }
        }
        let bytes = linear(lightness, low, hue).map(gammaEncoded)
        return Colour(red: bytes[0], green: bytes[1], blue: bytes[2])
    }

    private static func isDisplayable(_ colour: [Double]) -> Bool {
        colour.allSatisfy { (-1e-6...1 + 1e-6).contains($0) }
    }

    /// Oklab in cylinder coordinates to linear sRGB; the matrices are Ottosson's.
    private static func linear(_ lightness: Double, _ chroma: Double, _ hue: Double) -> [Double] {
        let a = chroma * cos(hue)
        let b = chroma * sin(hue)
        let l = cube(lightness + 0.3963377774 * a + 0.2158037573 * b)
        let m = cube(lightness - 0.1055613458 * a - 0.0638541728 * b)
        let s = cube(lightness - 0.0894841775 * a - 1.2914855480 * b)
        return [
            4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s,
            -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s,
            -0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s,
        ]
    }

    private static func cube(_ value: Double) -> Double { value * value * value }

    /// sRGB's transfer function (IEC 61966-2-1), to a byte.
    private static func gammaEncoded(_ value: Double) -> UInt8 {
        let clamped = min(max(value, 0), 1)
        let encoded =
            clamped <= 0.0031308 ? 12.92 * clamped : 1.055 * pow(clamped, 1 / 2.4) - 0.055
        return UInt8((encoded * 255).rounded())
    }
}
