/// Widening of GGUF's blocks of 256 numbers to fp32, with the same roundings as ggml's
/// `dequantize_row_*` (`ggml-quants.c`).
///
/// A block is cut into 16 or 8 groups, each with a scale of a few bits (and a least value, in types of
/// 2, 4 and 5 bits); the scales have a scale d in F16, the least values one of their own.
enum SuperBlockWidening {
    static let length = 256

    /// - Precondition: `bytes` holds the blocks of all of `output`.
    static func widen(
        _ bytes: UnsafeRawBufferPointer, _ type: StoredType,
        into output: UnsafeMutableBufferPointer<Float>
    ) {
        for block in 0..<output.count / length {
            let stored = UnsafeRawBufferPointer(
                rebasing: bytes[block * type.size..<(block + 1) * type.size])
            let target = UnsafeMutableBufferPointer(
                rebasing: output[block * length..<(block + 1) * length])
            switch type {
            case .q2k: twoBits(stored, target)
            case .q3k: threeBits(stored, target)
            case .q4k: fourBits(stored, target, isFive: false)
            case .q5k: fourBits(stored, target, isFive: true)
            case .q6k: sixBits(stored, target)
            default: curve(stored, target)
            }
        }
    }

    /// 16 bytes of scale (low half) and least value (high half), 64 bytes of numbers, d, dmin.
    private static func twoBits(
        _ bytes: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Float>
    ) {
        let scale = BlockWidening.half(bytes, 80)
        let leastScale = BlockWidening.half(bytes, 82)
        for group in 0..<16 {
            let own = scale * Float(bytes[group] & 15)
            let least = leastScale * Float(bytes[group] >> 4)
            for index in 0..<16 {
                let byte = bytes[16 + twoBitPlace(group, index)]
                target[group * 16 + index] = own * Float(byte >> twoBitShift(group) & 3) - least
            }
        }
    }

    /// The third bits in 32 bytes, 64 bytes of numbers, 12 bytes of scales, d.
    private static func threeBits(
        _ bytes: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Float>
    ) {
        let scale = BlockWidening.half(bytes, 108)
        for group in 0..<16 {
            // Four low bits of 16 scales in 8 bytes, then their two high ones in 4.
            let low = bytes[96 + group % 8] >> (group < 8 ? 0 : 4) & 15
            let high = bytes[104 + group % 4] >> UInt8(2 * (group / 4)) & 3
            let own = scale * Float(Int(low | high << 4) - 32)
            for index in 0..<16 {
                let byte = bytes[32 + twoBitPlace(group, index)]
                let isHigh = bytes[group % 2 * 16 + index] >> UInt8(group / 2) & 1 == 1
                let number = Int(byte >> twoBitShift(group) & 3) - (isHigh ? 0 : 4)
                target[group * 16 + index] = own * Float(number)
            }
        }
    }

    /// Where a number of a group is among 64 bytes: of each half's 32 bytes, four groups' pairs share
    /// one byte.
    private static func twoBitPlace(_ group: Int, _ index: Int) -> Int {
        group / 8 * 32 + group % 2 * 16 + index
    }

    private static func twoBitShift(_ group: Int) -> UInt8 { UInt8(group % 8 / 2 * 2) }

    /// d, dmin, 12 bytes of scales and least values; of five bits, the fifth ones in 32 bytes; then 128
    /// bytes of numbers.
    private static func fourBits(
        _ bytes: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Float>, isFive: Bool
    ) {
        let scale = BlockWidening.half(bytes, 0)
        let leastScale = BlockWidening.half(bytes, 2)
        let numbers = isFive ? 48 : 16
        for group in 0..<8 {
            let (ownScale, ownLeast) = sixBitPair(bytes, group)
            let own = scale * Float(ownScale)
            let least = leastScale * Float(ownLeast)
            for index in 0..<32 {
                let byte = bytes[numbers + group / 2 * 32 + index]
                var number = group % 2 == 0 ? byte & 15 : byte >> 4
                if isFive { number += (bytes[16 + index] >> UInt8(group) & 1) << 4 }
                target[group * 32 + index] = own * Float(number) - least
            }
        }
    }

    /// A group's scale and least value, six bits each (`get_scale_min_k4`).
    private static func sixBitPair(
        _ bytes: UnsafeRawBufferPointer, _ group: Int
    ) -> (scale: UInt8, least: UInt8) {
        let first = bytes[4 + group]
        let second = bytes[8 + group]
        guard group >= 4 else { return (first & 63, second & 63) }
        // Behind the first four of each: four bits in a byte of their own, two at the top of those.
        return (
            second & 15 | (bytes[group] >> 6) << 4,
            second >> 4 | (first >> 6) << 4
        )
    }

    /// Four low bits in 128 bytes, two high ones in 64, 16 scales of eight bits, d.
    private static func sixBits(
        _ bytes: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Float>
    ) {
        let scale = BlockWidening.half(bytes, 208)
        for group in 0..<16 {
            let own = scale * Float(Int8(bitPattern: bytes[192 + group]))
            // Of each half: four runs of 32 numbers.
            let (half, run) = (group / 8, group % 8 / 2)
            for index in 0..<16 {
                let place = group % 2 * 16 + index
                let low = bytes[half * 64 + run % 2 * 32 + place] >> (run < 2 ? 0 : 4) & 15
                let high = bytes[128 + half * 32 + place] >> UInt8(2 * run) & 3
                target[group * 16 + index] = own * Float(Int(low | high << 4) - 32)
            }
        }
    }

    /// d, the scales' high bits in 16 bits, their low ones in 4 bytes, 128 bytes of numbers.
    private static func curve(
        _ bytes: UnsafeRawBufferPointer, _ target: UnsafeMutableBufferPointer<Float>
    ) {
        let scale = BlockWidening.half(bytes, 0)
        let highs = UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
        for group in 0..<8 {
            let low = Int(bytes[4 + group / 2] >> (group % 2 == 0 ? 0 : 4) & 15)
            let high = Int(highs >> UInt16(2 * group) & 3)
            BlockWidening.curve(
                bytes, 8 + group * 16, scale * Float((low | high << 4) - 32),
                UnsafeMutableBufferPointer(rebasing: target[group * 32..<(group + 1) * 32]))
        }
    }
}
