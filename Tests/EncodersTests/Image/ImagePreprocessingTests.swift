import Encoders
import Testing

@Suite struct ImagePreprocessingTests {
    /// 2,900 resizes: every mode, many sizes, every filter, both profiles.
    @Test(arguments: DecodedImage.Mode.allCases)
    func equalsTheReferencesByteForByte(mode: DecodedImage.Mode) throws {
        #expect(try compare("resize.tsv") { $0 == mode.rawValue } > 200)
    }

    /// 740 resizes by torchvision's backend of transformers and by ComfyUI (image_profiles.py).
    @Test(arguments: ["RGB", "RGBA", "L", "P", "I;16"])
    func equalsTorchByteForByte(mode: String) throws {
        #expect(try compare("profiles.tsv") { $0 == mode } > 50)
    }

    private func compare(_ table: String, _ isWanted: (String) -> Bool) throws -> Int {
        var compared = 0
        var drawn: (key: String, image: DecodedImage)?
        for row in try ImageFixtures.table(table) where isWanted(row[0]) {
            let mode = try #require(DecodedImage.Mode(rawValue: row[0]))
            let numbers = row[1...4].compactMap { Int($0) }
            try #require(numbers.count == 4)
            let key = row[1...3].joined(separator: " ")
            if drawn?.key != key {
                drawn = (
                    key,
                    ImageFixtures.synthetic(
                        mode, height: numbers[0], width: numbers[1], seed: numbers[2])
                )
            }
            guard let image = drawn?.image else { continue }
            let preprocessing = try ImageFixtures.configuration(row[5], size: numbers[3])
            if row[6] == "error" {
                #expect(throws: EncoderError.self, "\(row)") { try preprocessing.bytes(image) }
            } else {
                let bytes = try preprocessing.bytes(image)
                #expect(
                    bytes.count == preprocessing.height * preprocessing.width * 3, "\(row)")
                #expect(ImageFixtures.digest(bytes) == row[6], "\(row)")
            }
            compared += 1
        }
        return compared
    }

    @Test(arguments: ImagePreprocessing.Profile.allCases)
    func normalizesBitForBit(profile: ImagePreprocessing.Profile) throws {
        let image = ImageFixtures.synthetic(.rgb, height: 45, width: 70, seed: 99)
        let preprocessing = ImagePreprocessing(profile: profile, size: 24)
        let expectedBytes = try ImageFixtures.bytes("bytes-\(profile.rawValue).bin")
        #expect(try preprocessing.bytes(image) == expectedBytes)
        let expected = try ImageFixtures.floats("normalized-\(profile.rawValue).bin")
        #expect(try preprocessing.pixels(image).map(\.bitPattern) == expected.map(\.bitPattern))
    }

    /// Every pair of colour and alpha, and every 16-bit grey.
    @Test func convertsEveryValueAsPillowDoes() throws {
        let expected = Dictionary(
            uniqueKeysWithValues: try ImageFixtures.table("tables.tsv").map { ($0[0], $0[1]) })
        var rgba: [UInt8] = []
        for alpha in 0...255 {
            for color in 0...255 {
                rgba += [UInt8(color), UInt8(255 - color), UInt8(255 - color), UInt8(alpha)]
            }
        }
        let image = try DecodedImage(rgba: rgba, height: 256, width: 256)
        let white = try ImageFixtures.configuration("transformers-unresized", size: 256)
        #expect(ImageFixtures.digest(try white.bytes(image)) == expected["white"])
        let opaque = try ImageFixtures.configuration("open_clip", size: 256)
        #expect(ImageFixtures.digest(try opaque.bytes(image)) == expected["opaque"])
        let raster = Raster(width: 256, height: 256, channels: 4, bytes: rgba)
        #expect(ImageFixtures.digest(raster.premultiplied.bytes) == expected["premultiplied"])
        #expect(ImageFixtures.digest(raster.unpremultiplied.bytes) == expected["unpremultiplied"])

        let grey = try DecodedImage(
            raw: (0..<65_536).flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }, mode: .grey16,
            height: 256, width: 256)
        #expect(ImageFixtures.digest(try white.bytes(grey)) == expected["grey16"])
        #expect(ImageFixtures.digest(try opaque.bytes(grey)) == expected["grey16"])
    }

    @Test func takesLopsidedImagesInBoundedTime() throws {
        // In full, the resized image would have 224 × 6,720,000 pixels.
        let flat = [UInt8](repeating: 77, count: 90_000)
        for (height, width) in [(1, 30_000), (30_000, 1)] {
            let image = try DecodedImage(rgb: flat, height: height, width: width)
            for profile in ImagePreprocessing.Profile.allCases {
                let bytes = try ImagePreprocessing(profile: profile, size: 224).bytes(image)
                #expect(bytes.count == 224 * 224 * 3 && bytes.allSatisfy { $0 == 77 })
            }
        }
    }

    @Test func refusesWhatTheConfigurationCannotUse() throws {
        var preprocessing = ImagePreprocessing(profile: .transformersPIL, size: 8)
        preprocessing.convertsToRGB = false
        let grey = ImageFixtures.synthetic(.grey, height: 9, width: 9, seed: 1)
        #expect(throws: EncoderError.self) { try preprocessing.bytes(grey) }

        let uncropped = try ImagePreprocessing.transformers(
            Array(#"{"size": 8, "do_center_crop": false}"#.utf8), path: "p.json")
        let square = ImageFixtures.synthetic(.rgb, height: 30, width: 30, seed: 1)
        #expect(try uncropped.bytes(square).count == 8 * 8 * 3)
        let wide = ImageFixtures.synthetic(.rgb, height: 30, width: 40, seed: 1)
        let error = #expect(throws: EncoderError.self) { try uncropped.bytes(wide) }
        #expect(error.map { "\($0)" }?.contains("10 × 8 from 40 × 30") == true)
    }
}
