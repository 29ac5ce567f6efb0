import Daemon
import Encoders
import Glibc
import Testing

@Suite struct HeatMapTests {
    @Test func coloursGrowLighterInEqualSteps() {
        let lightness = ColourMap.heat.map { colour in
            HeatMapTests.lightness(colour.red, colour.green, colour.blue)
        }
        #expect(lightness.count == 256)
        for (index, value) in lightness.enumerated() {
            let expected = 0.12 + 0.85 * Double(index) / 255
            // Bytes hold dark colours coarsely.
            #expect(abs(value - expected) < 0.012, "step \(index)")
        }
    }

    /// Oklab's lightness of sRGB bytes.
    private static func lightness(_ red: UInt8, _ green: UInt8, _ blue: UInt8) -> Double {
        let (r, g, b) = (linear(red), linear(green), linear(blue))
        let l = root(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b)
        let m = root(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b)
        let s = root(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b)
        return 0.2104542553 * l + 0.7936177850 * m - 0.0040720468 * s
    }

    private static func linear(_ byte: UInt8) -> Double {
        let value = Double(byte) / 255
        return value <= 0.04045 ? value / 12.92 : power((value + 0.055) / 1.055, 2.4)
    }

    private static func root(_ value: Double) -> Double { power(value, 1 / 3) }

    private static func power(_ base: Double, _ exponent: Double) -> Double {
        base <= 0 ? 0 : exp(exponent * log(base))
    }

    @Test func intensitiesFollowTheGradientsLength() {
        let map = PixelMap(
            values: [3, 0, 0, 1, 4, 0, 0, 0, 0, 0, 0, 0], height: 2, width: 2)
        #expect(map.magnitudes == [5, 0, 0, 1])
        #expect(map.norm == 26.0.squareRoot())
        let intensities = HeatMap.intensities(map.magnitudes)
        #expect(intensities[0] == 1 && intensities[1] == 0)
        #expect(abs(intensities[3] - Float(0.2).squareRoot()) < 1e-6)
    }

    @Test func intensitiesOfNothingAreZero() {
        #expect(HeatMap.intensities([]) == [])
        #expect(HeatMap.intensities([0, 0]) == [0, 0])
        #expect(HeatMap.intensities([.nan, .infinity, 2]) == [0, 0, 1])
    }

    @Test(arguments: [true, false])
    func pictureHasTheGradientsSize(hasGround: Bool) throws {
        let (height, width) = (5, 7)
        var values = [Float](repeating: 0, count: 3 * height * width)
        values[2 * width + 3] = 1
        let grey = [UInt8](repeating: 200, count: 3 * height * width)
        let file =
            hasGround ? try PNGEncoder.encode(rgb: grey, height: height, width: width) : [1, 2, 3]
        let map = HeatMap(PixelMap(values: values, height: height, width: width), over: file)
        let picture = try PNGDecoder.decode(try map.png(), limits: ImageLimits())
        #expect(picture.width == width && picture.height == height)
        let planes = picture.unitPlanes(.transformersPIL)
        let hottest = planes[2 * width + 3]
        #expect(planes[..<(height * width)].allSatisfy { $0 <= hottest })
        #expect(planes[..<(height * width)].count { $0 == hottest } == 1)
        // The image shows through only where there is one.
        #expect((planes[0] > 0.25) == hasGround)
    }
}
