/// Widening of GGUF's quantised blocks to fp32, with the same roundings as ggml's
/// `dequantize_row_*` (`ggml-quants.c`).
///
/// A block holds 32 numbers (those of 256 are read by `SuperBlockWidening`): a scale d in F16, for some types a least value m in F16, for five bits
/// the fifth ones in 32 bits, then the numbers; of four bits, the low halves of 16 bytes come before
/// the high ones.
enum BlockWidening {
    /// - Precondition: `output` is whole blocks, `bytes` those blocks.
    static func widen(
        _ bytes: UnsafeRawBufferPointer, type: StoredType,
        into output: UnsafeMutableBufferPointer<Float>
    ) {
        if type.blockLength > 32 {
            SuperBlockWidening.widen(bytes, type, into: output)
            return
        }
        for block in 0..<output.count / 32 {
            let start = block * type.size
            let target = UnsafeMutableBufferPointer(
                rebasing: output[block * 32..<block * 32 + 32])
            switch type {
            case .q8v0: eightBits(bytes, start, target)
            case .q4v0: lowBits(bytes, start, target, hasLeast: false, isFive: false)
            case .q4v1: lowBits(bytes, start, target, hasLeast: true, isFive: false)
            case .q5v0: lowBits(bytes, start, target, hasLeast: false, isFive: true)
            case .iq4nl: curve(bytes, start + 2, half(bytes, start), target)
            default: lowBits(bytes, start, target, hasLeast: true, isFive: true)
            }
        }
    }

    private static func eightBits(
        _ bytes: UnsafeRawBufferPointer, _ start: Int, _ target: UnsafeMutableBufferPointer<Float>
    ) {
        let scale = half(bytes, start)
        for index in 0..<32 {
            target[index] = Float(Int8(bitPattern: bytes[start + 2 + index])) * scale
        }
    }

    @inline(__always)
    private static func lowBits(
        _ bytes: UnsafeRawBufferPointer, _ start: Int,
        _ target: UnsafeMutableBufferPointer<Float>, hasLeast: Bool, isFive: Bool
    ) {
        let scale = half(bytes, start)
        let least: Float = hasLeast ? half(bytes, start + 2) : 0
        var position = start + (hasLeast ? 4 : 2)
        var high: UInt32 = 0
        if isFive {
            high = UInt32(
                littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self))
            position += 4
        }
        // Without a least value the numbers are centred.
        let centre = hasLeast ? 0 : (isFive ? 16 : 8)
        for index in 0..<32 {
            let byte = bytes[position + index % 16]
            var number = Int(index < 16 ? byte & 15 : byte >> 4)
            if isFive { number |= Int(high >> UInt32(index) & 1) << 4 }
            let value = Float(number - centre) * scale
            // Adding a zero would turn -0 into 0.
            target[index] = hasLeast ? value + least : value
        }
    }

    /// Not evenly spaced: `kvalues_iq4nl` of ggml.
    private static let curveValues: [Float] = [
        -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
    ]

    /// 32 numbers of four bits that stand for values on a curve.
    static func curve(
        _ bytes: UnsafeRawBufferPointer, _ position: Int, _ scale: Float,
        _ target: UnsafeMutableBufferPointer<Float>
    ) {
        for index in 0..<32 {
            let byte = bytes[position + index % 16]
            target[index] = scale * curveValues[Int(index < 16 ? byte & 15 : byte >> 4)]
        }
    }

    static func half(_ bytes: UnsafeRawBufferPointer, _ offset: Int) -> Float {
        FloatWidening.half(
            UInt16(littleEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt16.self)))
    }
}
