/// Exact narrowing of fp32: the opposite of `FloatWidening`, for values that were stored narrower.
enum FloatNarrowing {
    /// The narrowest type that holds every value exactly: F16, else BF16, else F32.
    static func narrowestType(_ tensors: [NamedTensor]) -> StoredType {
        if tensors.allSatisfy({ $0.values.allSatisfy { isHalf($0.bitPattern) } }) { return .f16 }
        let isShort = tensors.allSatisfy { $0.values.allSatisfy { $0.bitPattern & 0xffff == 0 } }
        return isShort ? .bf16 : .f32
    }

    /// The little-endian bytes of values in a type that holds them exactly.
    ///
    /// - Precondition: `type` is F32, F16 or BF16.
    static func bytes(_ values: ArraySlice<Float>, _ type: StoredType) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(values.count * type.size)
        for value in values {
            let bits = value.bitPattern
            switch type {
            case .f16: append(half(bits), to: &bytes)
            case .bf16: append(UInt16(truncatingIfNeeded: bits >> 16), to: &bytes)
            default:
                append(UInt16(truncatingIfNeeded: bits), to: &bytes)
                append(UInt16(truncatingIfNeeded: bits >> 16), to: &bytes)
            }
        }
        return bytes
    }

    private static func append(_ bits: UInt16, to bytes: inout [UInt8]) {
        bytes.append(UInt8(truncatingIfNeeded: bits))
        bytes.append(UInt8(truncatingIfNeeded: bits >> 8))
    }

    /// Whether an IEEE 754 half has the value of these bits of a float, which is finite.
    private static func isHalf(_ bits: UInt32) -> Bool {
        let exponent = Int(bits >> 23 & 0xff)
        let mantissa = bits & 0x7f_ffff
        switch exponent {
        case 0: return mantissa == 0
        case 113...142: return mantissa & 0x1fff == 0
        // Subnormal halves are multiples of 2⁻²⁴.
        case 103...112: return (mantissa | 0x80_0000).trailingZeroBitCount >= 126 - exponent
        default: return false
        }
    }

    private static func half(_ bits: UInt32) -> UInt16 {
        let sign = UInt16(truncatingIfNeeded: bits >> 16) & 0x8000
        let exponent = Int(bits >> 23 & 0xff)
        let mantissa = bits & 0x7f_ffff
        if exponent == 0 { return sign }
        if exponent < 113 {
            return sign
                | UInt16(truncatingIfNeeded: (mantissa | 0x80_0000) >> UInt32(126 - exponent))
        }
        return sign | UInt16(exponent - 112) << 10 | UInt16(truncatingIfNeeded: mantissa >> 13)
    }
}
