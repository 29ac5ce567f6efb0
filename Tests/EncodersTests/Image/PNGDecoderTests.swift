import Encoders
import Glibc
import Testing

@Suite struct PNGDecoderTests {
    @Test(arguments: try ImageFixtures.table("png.tsv"))
    func decodesAsPillowDoes(row: [String]) throws {
        let image = try PNGDecoder.decode(try ImageFixtures.bytes("png/\(row[0]).png"))
        #expect(image.mode.rawValue == row[1])
        #expect("\(image.height)×\(image.width)" == "\(row[2])×\(row[3])")
        #expect(ImageFixtures.digest(image.bytes) == row[4], "samples")

        // The conversions alone: nothing resized, nothing cut.
        var plain = ImagePreprocessing(profile: .transformersPIL, size: 1)
        plain.resize = .none
        (plain.height, plain.width) = (image.height, image.width)
        #expect(ImageFixtures.digest(try plain.bytes(image)) == row[5], "over white")
        plain.profile = .openCLIP
        #expect(ImageFixtures.digest(try plain.bytes(image)) == row[6], "opaque")

        for (profile, expected) in [("transformers", row[7]), ("open_clip", row[8])] {
            let preprocessing = try ImageFixtures.configuration(profile, size: 24)
            #expect(ImageFixtures.digest(try preprocessing.bytes(image)) == expected, "\(profile)")
        }
    }

    @Test(arguments: [
        "pillow-rgb", "type3-2bit-interlaced", "trns-rgb-16bit", "netpbm-grey16", "chunks",
        "chunks-iccp",
    ])
    func refusesEveryFileThatEndsEarly(name: String) throws {
        let whole = try ImageFixtures.bytes("png/\(name).png")
        // The pixels end with the last IDAT chunk; an IEND that is missing costs nothing, and
        // Pillow does not ask for it either.
        let pixelsEnd = whole.count - 12
        let step = max(1, pixelsEnd / 400)
        for length in Array(stride(from: 0, to: pixelsEnd - 5, by: step)) + [pixelsEnd - 5] {
            let error = #expect(throws: EncoderError.self, "cut to \(length)") {
                try PNGDecoder.decode(Array(whole[..<length]))
            }
            guard case .image = error else {
                Issue.record("cut to \(length): \(String(describing: error))")
                continue
            }
        }
        #expect(throws: Never.self) { try PNGDecoder.decode(Array(whole[..<pixelsEnd])) }
    }

    @Test(
        arguments: [
            ("a JPEG file", [0xFF, 0xD8, 0xFF, 0xE0, 0, 16, 0x4A, 0x46]),
            ("a JPEG file", [0xFF, 0xD8, 0xFF]),
            ("a WebP file", Array("RIFF\u{1}\u{2}\u{3}\u{4}WEBPVP8 ".utf8)),
            ("a GIF file", Array("GIF89a".utf8)),
            ("a TIFF file", [0x49, 0x49, 0x2A, 0, 8, 0, 0, 0]),
            ("an AVIF file", [0, 0, 0, 28] + Array("ftypavif".utf8)),
            ("a HEIC file", [0, 0, 0, 28] + Array("ftypheic".utf8)),
            ("a JPEG XL file", [0xFF, 0x0A, 1]),
            ("a BMP file", Array("BM".utf8) + [70, 0, 0, 0, 0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0]),
            ("4 bytes starting 52 49 46 46", Array("RIFF".utf8)),
            ("2 bytes starting FF D8", [0xFF, 0xD8]),
            ("no bytes", []),
        ] as [(String, [UInt8])])
    func namesWhatIsNoPNGFile(name: String, bytes: [UInt8]) throws {
        let error = try #require(throws: EncoderError.self) { try PNGDecoder.decode(bytes) }
        guard case .image(let expected, let actual) = error else {
            Issue.record("\(error)")
            return
        }
        #expect(expected.hasPrefix("a PNG file") && actual == name)
    }

    @Test(arguments: ["IHDR", "gAMA", "tEXt", "IDAT"])
    func refusesWrongChecksums(kind: String) throws {
        var bytes = try ImageFixtures.bytes("png/chunks.png")
        let start = try #require(
            (8..<bytes.count - 8).first { bytes[$0..<$0 + 4].elementsEqual(kind.utf8) })
        let length = bytes[start - 4..<start].reduce(0) { $0 << 8 | Int($1) }
        bytes[start + 4 + length] ^= 1
        let error = #expect(throws: EncoderError.self) { try PNGDecoder.decode(bytes) }
        let text = String(describing: error)
        #expect(text.contains("CRC") && text.contains(kind), "\(text)")
    }

    @Test(arguments: [
        ([UInt8](), "no bytes"),
        (Array("GIF89a and more bytes to fill a header's room".utf8), "a GIF file"),
        (Array("\u{89}PNG\n\u{1A}\n".utf8), "starting C2"),
        ([0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A], "ends after 8 bytes"),
        (
            [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]
                + ImageFixtures.chunk("IDAT", [UInt8](repeating: 0, count: 30)), "another chunk"
        ),
        (ImageFixtures.header(width: 0, height: 5), "0 × 5"),
        (ImageFixtures.header(width: 7, height: 0), "7 × 0"),
        (ImageFixtures.header(width: 2000, height: 2000), "ends after 33 bytes"),
        (ImageFixtures.header(width: 4, height: 4, depth: 3), "damaged"),
        (ImageFixtures.header(width: 4, height: 4, type: 5), "damaged"),
        (ImageFixtures.header(width: 4, height: 4, depth: 16, type: 3), "damaged"),
    ])
    func saysWhatIsWrongWithAHeader(bytes: [UInt8], expected: String) {
        let error = #expect(throws: EncoderError.self) { try PNGDecoder.decode(bytes) }
        let text = error.map { "\($0)" } ?? ""
        #expect(text.hasPrefix("image: ") && text.contains(expected), "\(text)")
    }

    @Test func refusesBombsBeforeAllocating() {
        let cases: [([UInt8], ImageLimits, EncoderError)] = [
            (
                ImageFixtures.header(width: 60_000, height: 60_000), ImageLimits(),
                .tooLarge(what: "image pixels", limit: 64 << 20, actual: 3_600_000_000)
            ),
            (
                ImageFixtures.header(width: 0xFFFF_FFFF, height: 1), ImageLimits(),
                .tooLarge(what: "image width", limit: 65_536, actual: 0xFFFF_FFFF)
            ),
            (
                ImageFixtures.header(width: 1, height: 0x8000_0000), ImageLimits(),
                .tooLarge(what: "image height", limit: 65_536, actual: 0x8000_0000)
            ),
            (
                ImageFixtures.header(width: 11, height: 10), ImageLimits(maximumPixels: 109),
                .tooLarge(what: "image pixels", limit: 109, actual: 110)
            ),
            (
                ImageFixtures.header(width: 11, height: 10), ImageLimits(maximumBytes: 32),
                .tooLarge(what: "encoded image bytes", limit: 32, actual: 33)
            ),
        ]
        for (bytes, limits, expected) in cases {
            #expect(throws: expected) { try PNGDecoder.decode(bytes, limits: limits) }
        }
    }

    /// libpng would drop such a chunk with a warning, and the picture with it would change.
    @Test(arguments: [
        ("pillow-rgb", [[0, 1, 0, 2, 0]]),
        ("pillow-palette-bits4", [[UInt8](repeating: 9, count: 17)]),
        ("trns-rgb-8bit", [[0, 1, 0, 2, 0, 3]]),
    ])
    func refusesDamagedTransparency(name: String, chunks: [[UInt8]]) throws {
        var bytes = try ImageFixtures.bytes("png/\(name).png")
        let start = try #require(
            (8..<bytes.count - 8).first { bytes[$0..<$0 + 4].elementsEqual("IDAT".utf8) })
        for data in chunks {
            bytes.insert(contentsOf: ImageFixtures.chunk("tRNS", data), at: start - 4)
        }
        let error = #expect(throws: EncoderError.self) { try PNGDecoder.decode(bytes) }
        #expect(error.map { "\($0)" }?.contains("tRNS") == true, "\(String(describing: error))")
    }

    @Test func keepsNothingOfWhatItRefuses() throws {
        func residentPages() throws -> Int {
            let file = try #require(fopen("/proc/self/statm", "r"))
            defer { fclose(file) }
            var buffer = [UInt8](repeating: 0, count: 200)
            let count = fread(&buffer, 1, buffer.count, file)
            let text = String(decoding: buffer[..<count], as: UTF8.self)
            let resident = try #require(
                text.split(separator: " ").dropFirst().first.flatMap { Int($0) })
            return resident
        }
        let (height, width) = (600, 800)
        let whole = try PNGEncoder.encode(
            rgb: ImageFixtures.noise(height * width * 3, seed: 8), height: height, width: width)
        let cut = Array(whole[..<(whole.count - 100)])
        func refuse(_ times: Int) {
            for _ in 0..<times {
                #expect(throws: EncoderError.self) { try PNGDecoder.decode(cut) }
            }
        }
        refuse(3)
        let before = try residentPages()
        refuse(60)
        // 60 images that stayed would be 86 MB.
        let grown = (try residentPages() - before) * sysconf(Int32(_SC_PAGESIZE)) >> 20
        #expect(grown < 40, "\(grown) MiB more")
    }

    @Test func writesWhatItReads() throws {
        for (height, width) in [(1, 1), (3, 17), (40, 31)] {
            let rgb = ImageFixtures.noise(height * width * 3, seed: 4)
            let decoded = try PNGDecoder.decode(
                try PNGEncoder.encode(rgb: rgb, height: height, width: width))
            #expect(decoded == (try DecodedImage(rgb: rgb, height: height, width: width)))
            let rgba = ImageFixtures.noise(height * width * 4, seed: 5)
            let transparent = try PNGDecoder.decode(
                try PNGEncoder.encode(rgba: rgba, height: height, width: width))
            #expect(transparent == (try DecodedImage(rgba: rgba, height: height, width: width)))
            let grey = ImageFixtures.noise(height * width, seed: 6)
            let plain = try PNGDecoder.decode(
                try PNGEncoder.encode(grey: grey, height: height, width: width))
            #expect(plain.mode == .grey && plain.bytes == grey)
        }
        #expect(throws: EncoderError.self) {
            try PNGEncoder.encode(rgb: [1, 2, 3], height: 1, width: 2)
        }
        #expect(throws: EncoderError.self) { try PNGEncoder.encode(rgb: [], height: 0, width: 2) }
    }

    @Test func refusesPixelsThatDoNotFit() {
        #expect(throws: EncoderError.self) { try DecodedImage(rgb: [1, 2], height: 1, width: 1) }
        #expect(throws: EncoderError.self) { try DecodedImage(rgb: [], height: 0, width: 1) }
        #expect(throws: EncoderError.self) { try DecodedImage(rgb: [], height: -1, width: -1) }
        #expect(throws: EncoderError.self) {
            try DecodedImage(rgba: [], height: .max, width: 2)
        }
        #expect(throws: EncoderError.tooLarge(what: "image pixels", limit: 5, actual: 6)) {
            try DecodedImage(
                rgb: [UInt8](repeating: 0, count: 18), height: 2, width: 3,
                limits: ImageLimits(maximumPixels: 5))
        }
    }

    @Test func survivesMutations() throws {
        let outcome = try ImageFuzz.run(cases: ImageFuzz.casesInTests, seed: 20_260)
        // Both ways out must have been taken, or the mutations test nothing.
        #expect(outcome.decoded > outcome.cases / 100, "\(outcome)")
        #expect(outcome.refused > outcome.cases / 10, "\(outcome)")
    }
}
