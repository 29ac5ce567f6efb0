import Encoders
import Testing

@Suite struct PNGOrientationTests {
    typealias F = ImageFixtures

    /// A TIFF header with one entry before the orientation and one behind it.
    private static func exif(_ orientation: UInt16, isLittleEndian: Bool, tag: UInt16 = 0x112)
        -> [UInt8]
    {
        func bytes(_ value: UInt32, _ size: Int) -> [UInt8] {
            let big = (0..<size).map { UInt8(truncatingIfNeeded: value >> (8 * (size - 1 - $0))) }
            return isLittleEndian ? big.reversed() : big
        }
        func entry(_ tag: UInt32, _ type: UInt32, _ value: [UInt8]) -> [UInt8] {
            bytes(tag, 2) + bytes(type, 2) + bytes(1, 4) + value
        }
        var file = Array((isLittleEndian ? "II" : "MM").utf8)
        file += bytes(42, 2)
        file += bytes(8, 4)
        file += bytes(3, 2)
        file += entry(0x100, 4, bytes(7, 4))
        file += entry(UInt32(tag), 3, bytes(UInt32(orientation), 2) + [0, 0])
        file += entry(0x11a, 5, bytes(26, 4))
        return file + bytes(0, 4)
    }

    private static func read(_ file: [UInt8]) -> Int? {
        file.withUnsafeBytes { PNGOrientation.read($0) }
    }

    private static func file(before: [UInt8] = [], after: [UInt8] = []) -> [UInt8] {
        F.header(width: 3, height: 2) + before + F.chunk("IDAT", [1, 2, 3]) + after
            + F.chunk("IEND", [])
    }

    @Test(arguments: [true, false], 0...9)
    func readsBothByteOrdersBeforeAndBehindThePixels(isLittleEndian: Bool, number: Int) {
        let chunk = F.chunk("eXIf", Self.exif(UInt16(number), isLittleEndian: isLittleEndian))
        let expected = (2...8).contains(number) ? number : nil
        #expect(Self.read(Self.file(before: chunk)) == expected)
        #expect(Self.read(Self.file(after: chunk)) == expected)
    }

    @Test func filesWithoutItSayNothing() {
        #expect(Self.read(Self.file()) == nil)
        let other = Self.exif(6, isLittleEndian: true, tag: 0x113)
        #expect(Self.read(Self.file(before: F.chunk("eXIf", other))) == nil)
        #expect(Self.read([]) == nil)
    }

    /// Whatever is cut off or changed: a number from 2 to 8, or nothing.
    @Test func damagedMetadataAreHarmless() {
        let whole = Self.exif(6, isLittleEndian: false)
        var random = ImageRandom(state: 5)
        for length in 0...whole.count {
            let file = Self.file(before: F.chunk("eXIf", Array(whole.prefix(length))))
            for end in [file.count, file.count / 2, Int.random(in: 0...file.count, using: &random)]
            {
                let number = Self.read(Array(file.prefix(end)))
                #expect(number == nil || number == 6)
            }
        }
        for _ in 0..<2_000 {
            var file = Self.file(before: F.chunk("eXIf", whole))
            for _ in 0..<3 {
                let place = Int.random(in: 8..<file.count, using: &random)
                file[place] = UInt8.random(in: 0...255, using: &random)
            }
            let number = Self.read(file)
            #expect(number == nil || (2...8).contains(number ?? 0))
        }
    }
}
