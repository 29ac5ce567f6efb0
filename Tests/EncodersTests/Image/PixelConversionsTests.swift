import Encoders
import Testing

@Suite struct PixelConversionsTests {
    @Test func widensEveryHalf() throws {
        let halves = (0..<65_536).map { UInt16($0) }.filter { $0 & 0x7C00 != 0x7C00 }
        let bytes = halves.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
        let row = try #require(try ImageFixtures.table("halves.tsv").first)
        #expect("\(halves.count)" == row[1])
        // 63,488 values are no multiple of 3; the last image is padded with zeros.
        let padded = bytes + [UInt8](repeating: 0, count: 2 * (63_489 - halves.count))
        let values = try PixelConversions.planes(
            padded, format: .fp16, height: 1, width: 63_489 / 3)
        #expect(
            ImageFixtures.digest(ImageFixtures.littleEndian(Array(values[..<halves.count])))
                == row[0])
    }

    @Test func widensBfloats() throws {
        let bits: [UInt16] = [0x0000, 0x8000, 0x3F80, 0xBF80, 0x0001, 0x7F7F]
        let bytes = bits.flatMap { [UInt8($0 & 255), UInt8($0 >> 8)] }
        let values = try PixelConversions.planes(bytes, format: .bf16, height: 1, width: 2)
        #expect(values.map(\.bitPattern) == bits.map { UInt32($0) << 16 })
    }

    @Test func takesFloatsAtAnyAddress() throws {
        let expected = ImageFixtures.unit(3 * 5 * 7, seed: 3)
        let shifted = [0] + ImageFixtures.littleEndian(expected)
        let values: Result<[Float], EncoderError> = shifted.withUnsafeBytes { buffer in
            do throws(EncoderError) {
                return .success(
                    try PixelConversions.planes(
                        UnsafeRawBufferPointer(rebasing: buffer.dropFirst()), format: .fp32,
                        height: 5, width: 7))
            } catch {
                return .failure(error)
            }
        }
        #expect(try values.get() == expected)
    }

    @Test(arguments: [
        (Float.nan, 17, "NaN at index 17 (channel 1, row 0, column 2)"),
        (-Float.infinity, 44, "-inf at index 44 (channel 2, row 2, column 4)"),
    ])
    func namesTheFirstValueThatIsNotFinite(value: Float, index: Int, expected: String) {
        var values = ImageFixtures.unit(45, seed: 1)
        values[index] = value
        let error = #expect(throws: EncoderError.self) {
            try PixelConversions.planes(
                ImageFixtures.littleEndian(values), format: .fp32, height: 3, width: 5)
        }
        #expect(error == .image(expected: "finite pixels", actual: expected))
    }

    @Test func refusesBytesThatDoNotFit() {
        for (count, height, width) in [(35, 1, 3), (36, 0, 3), (36, -1, -3), (36, .max, 3)] {
            #expect(throws: EncoderError.self) {
                try PixelConversions.planes(
                    [UInt8](repeating: 0, count: count), format: .fp32, height: height,
                    width: width)
            }
        }
    }

    @Test func widensImagesAsTheProfileConverts() throws {
        let image = try DecodedImage(rgba: [255, 0, 51, 0, 10, 20, 30, 255], height: 1, width: 2)
        #expect(
            image.unitPlanes(.transformersPIL).map { ($0 * 255).rounded() }
                == [255, 10, 255, 20, 255, 30])
        #expect(
            image.unitPlanes(.openCLIP).map { ($0 * 255).rounded() } == [255, 10, 0, 20, 51, 30])
        let grey = try DecodedImage(raw: [0, 255], mode: .grey, height: 1, width: 2)
        #expect(grey.unitPlanes(.openCLIP) == [0, 1, 0, 1, 0, 1])
    }
}
