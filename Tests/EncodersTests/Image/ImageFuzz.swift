import Encoders
import Testing

/// Mutations of real PNG files: every one must decode or be refused with a typed error.
enum ImageFuzz {
    struct Outcome {
        var cases = 0
        var decoded = 0
        var refused = 0
    }

    /// Fewer without optimisation, where the same cases take ten times as long.
    static var casesInTests: Int {
        var isDebug = false
        assert(
            {
                isDebug = true
                return true
            }())
        return isDebug ? 3_000 : 20_000
    }

    static let seeds = [
        "pillow-palette", "type0-1bit", "type0-16bit-interlaced", "type2-8bit", "type3-4bit",
        "type4-16bit", "type6-8bit-interlaced", "trns-palette-several", "trns-rgb-16bit", "chunks",
        "chunks-iccp", "pillow-text", "pillow-animated", "netpbm-palette", "tiny-1x1-interlaced",
    ]

    /// Decodes `cases` mutated files, and takes those that decode through preprocessing.
    ///
    /// Half of the mutants have their checksums put right again, so that the damage reaches what
    /// lies behind the checksum.
    static func run(cases: Int, seed: UInt64) throws -> Outcome {
        var random = ImageRandom(state: seed)
        let files = try seeds.map { try ImageFixtures.bytes("png/\($0).png") }
        let limits = ImageLimits(maximumPixels: 1 << 16)
        let preprocessings = [
            ImagePreprocessing(profile: .transformersPIL, size: 16),
            ImagePreprocessing(profile: .openCLIP, size: 16),
        ]
        var outcome = Outcome()
        for index in 0..<cases {
            var bytes = files[Int.random(in: 0..<files.count, using: &random)]
            for _ in 0..<Int.random(in: 1...4, using: &random) { mutate(&bytes, &random) }
            if Bool.random(using: &random) { repairChecksums(&bytes) }
            do throws(EncoderError) {
                let image = try PNGDecoder.decode(bytes, limits: limits)
                outcome.decoded += 1
                let preprocessing = preprocessings[index % 2]
                let count = try preprocessing.bytes(image).count
                #expect(count == 16 * 16 * 3, "case \(index), seed \(seed)")
            } catch {
                outcome.refused += 1
            }
            outcome.cases += 1
        }
        return outcome
    }

    private static func mutate(_ bytes: inout [UInt8], _ random: inout ImageRandom) {
        guard !bytes.isEmpty else { return }
        let position = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<8, using: &random) {
        case 0: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1: bytes[position] = UInt8.random(in: 0...255, using: &random)
        case 2: bytes.removeSubrange(position...)
        case 3: bytes.remove(at: position)
        case 4: bytes.insert(UInt8.random(in: 0...255, using: &random), at: position)
        case 5:
            // A header field: size, depth, colour type, interlacing.
            let field = Int.random(in: 16..<29, using: &random)
            if field < bytes.count { bytes[field] = UInt8.random(in: 0...16, using: &random) }
        case 6:
            let end = min(bytes.count, position + Int.random(in: 1...64, using: &random))
            bytes.insert(contentsOf: bytes[position..<end], at: position)
        default:
            let extremes: [UInt32] = [0, 1, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF]
            let value = extremes[Int.random(in: 0..<extremes.count, using: &random)]
            for (offset, byte) in ImageFixtures.bigEndian(value).enumerated()
            where position + offset < bytes.count {
                bytes[position + offset] = byte
            }
        }
    }

    private static func repairChecksums(_ bytes: inout [UInt8]) {
        var position = 8
        while position + 12 <= bytes.count {
            let length = bytes[position..<position + 4].reduce(0) { $0 << 8 | Int($1) }
            let end = position + 8 + length
            guard end + 4 <= bytes.count else { return }
            let checksum = ImageFixtures.checksum(bytes[position + 4..<end])
            bytes.replaceSubrange(end..<end + 4, with: ImageFixtures.bigEndian(checksum))
            position = end + 4
        }
    }
}
