import Encoders
import Testing

/// Files made here byte by byte, so that every filter, size and split of the stream occurs.
@Suite struct PNGFilterTests {
    /// The inverse of the filters, as the PNG specification writes it (section 9).
    private static func filtered(
        _ pixels: [UInt8], filters: [UInt8], width: Int, size: Int
    ) -> [UInt8] {
        let rowBytes = width * size
        var coded: [UInt8] = []
        for (row, filter) in filters.enumerated() {
            coded.append(filter)
            for x in 0..<rowBytes {
                func at(_ row: Int, _ x: Int) -> Int {
                    row < 0 || x < 0 ? 0 : Int(pixels[row * rowBytes + x])
                }
                let (a, b, c) = (at(row, x - size), at(row - 1, x), at(row - 1, x - size))
                let guess: Int
                switch filter {
                case 1: guess = a
                case 2: guess = b
                case 3: guess = (a + b) / 2
                case 4:
                    let p = a + b - c
                    let (pa, pb, pc) = (abs(p - a), abs(p - b), abs(p - c))
                    guess = pa <= pb && pa <= pc ? a : pb <= pc ? b : c
                default: guess = 0
                }
                coded.append(UInt8(truncatingIfNeeded: at(row, x) - guess))
            }
        }
        return coded
    }

    /// A zlib stream of stored blocks.
    private static func stored(_ bytes: [UInt8]) -> [UInt8] {
        var stream: [UInt8] = [0x78, 0x01]
        var start = 0
        repeat {
            let count = min(65_535, bytes.count - start)
            let (low, high) = (UInt8(count & 255), UInt8(count >> 8))
            stream.append(start + count == bytes.count ? 1 : 0)
            stream += [low, high, ~low, ~high]
            stream += bytes[start..<start + count]
            start += count
        } while start < bytes.count
        var (a, b) = (UInt32(1), UInt32(0))
        for byte in bytes {
            a = (a + UInt32(byte)) % 65_521
            b = (b + a) % 65_521
        }
        return stream + ImageFixtures.bigEndian(b << 16 | a)
    }

    /// A file whose stream is cut into chunks of `piece` bytes.
    private static func file(
        _ stream: [UInt8], width: Int, height: Int, size: Int, piece: Int
    ) -> [UInt8] {
        let type: [UInt8] = [0, 0, 4, 2, 6]
        var file = ImageFixtures.header(
            width: UInt32(width), height: UInt32(height), type: type[size])
        for start in Swift.stride(from: 0, to: stream.count, by: piece) {
            file += ImageFixtures.chunk(
                "IDAT", Array(stream[start..<min(start + piece, stream.count)]))
        }
        return file + ImageFixtures.chunk("IEND", [])
    }

    @Test(arguments: [1, 2, 3, 4])
    func undoesEveryFilter(size: Int) throws {
        for seed in 0..<120 {
            var random = ImageRandom(state: UInt64(1000 * size + seed))
            let width = Int.random(in: 1...(seed % 3 == 0 ? 7 : 70), using: &random)
            let height = Int.random(in: 1...23, using: &random)
            // Every third picture changes little from pixel to pixel, where Paeth's choices tie.
            let noise = ImageFixtures.noise(width * height * size, seed: seed)
            let pixels = seed % 3 == 1 ? noise.map { 100 + $0 % 4 } : noise
            let common = UInt8.random(in: 0...4, using: &random)
            let filters = (0..<height).map { _ in
                Bool.random(using: &random) ? common : UInt8.random(in: 0...4, using: &random)
            }
            let stream = Self.stored(
                Self.filtered(pixels, filters: filters, width: width, size: size))
            let file = Self.file(
                stream, width: width, height: height, size: size,
                piece: Int.random(in: 1...200, using: &random))
            let image = try PNGDecoder.decode(file)
            #expect(image.bytes == pixels, "seed \(seed), \(width)×\(height), filters \(filters)")
        }
    }

    /// More rows than are inflated at a time, and rows larger than that.
    @Test(arguments: [(400, 301), (70_000 / 3, 7), (50_000, 3)])
    func readsMoreThanOneBatch(width: Int, height: Int) throws {
        let pixels = ImageFixtures.noise(width * height * 3, seed: width)
        let filters = (0..<height).map { UInt8([4, 4, 2, 4, 1, 4, 4, 3][$0 % 8]) }
        let stream = Self.stored(
            Self.filtered(pixels, filters: filters, width: width, size: 3))
        let image = try PNGDecoder.decode(
            Self.file(stream, width: width, height: height, size: 3, piece: 8192))
        #expect(image.bytes == pixels)
    }

    @Test func refusesDamagedStreams() throws {
        let (width, height) = (9, 6)
        let pixels = ImageFixtures.noise(width * height * 3, seed: 5)
        func decode(_ stream: [UInt8], piece: Int = 1000) throws -> [UInt8] {
            try PNGDecoder.decode(
                Self.file(stream, width: width, height: height, size: 3, piece: piece)
            ).bytes
        }
        func message(_ stream: [UInt8], piece: Int = 1000) -> String {
            let error = #expect(throws: EncoderError.self) { try decode(stream, piece: piece) }
            return error.map { "\($0)" } ?? ""
        }
        let coded = Self.filtered(
            pixels, filters: [4, 4, 4, 4, 2, 3], width: width, size: 3)
        let whole = Self.stored(coded)
        #expect(try decode(whole) == pixels)
        // The stream may hold more than the picture.
        #expect(try decode(Self.stored(coded + [1, 2, 3])) == pixels)

        #expect(message(Self.stored(coded.dropLast())).contains("not enough image data"))
        #expect(message(Array(whole.dropLast(5))).contains("not enough image data"))
        #expect(message(Array(whole.dropLast(2)), piece: 7).contains("not enough image data"))
        var wrong = whole
        wrong[wrong.count - 1] ^= 1
        #expect(message(wrong).contains("incorrect data check"))
        wrong = whole
        wrong[0] = 0x79
        #expect(message(wrong).contains("incorrect header check"))
        for (row, filter) in [(0, UInt8(5)), (3, 200)] {
            var unknown = coded
            unknown[row * (1 + 3 * width)] = filter
            #expect(message(Self.stored(unknown)).contains("bad adaptive filter value"))
        }
    }
}
