/// Exact widening of stored numbers to fp32, and the search for values no weight may have.
enum FloatWidening {
    /// Reads `count` elements of a stored type from bytes of any alignment.
    ///
    /// - Precondition: `type.holdsWeights`, and `bytes` holds `count` elements; whole blocks of a
    ///   quantised type.
    static func floats(
        _ bytes: UnsafeRawBufferPointer, type: StoredType, count: Int
    ) -> [Float] {
        precondition(
            type.holdsWeights && count.isMultiple(of: type.blockLength)
                && bytes.count == count / type.blockLength * type.size)
        return [Float](unsafeUninitializedCapacity: count) { output, initialized in
            initialized = count
            widen(bytes, type: type, into: UnsafeMutableBufferPointer(rebasing: output[..<count]))
        }
    }

    /// `floats(_:type:count:)` into memory of as many elements as `bytes` holds.
    static func widen(
        _ bytes: UnsafeRawBufferPointer, type: StoredType,
        into output: UnsafeMutableBufferPointer<Float>
    ) {
        let count = output.count
        precondition(
            type.holdsWeights && count.isMultiple(of: type.blockLength)
                && bytes.count == count / type.blockLength * type.size)
        if type.isQuantized {
            BlockWidening.widen(bytes, type: type, into: output)
            return
        }
        guard let source = bytes.baseAddress, let target = output.baseAddress, count > 0 else {
            return
        }
        switch type {
        case .f16:
            for index in 0..<count {
                target[index] = half(
                    source.loadUnaligned(fromByteOffset: 2 &* index, as: UInt16.self))
            }
        case .bf16:
            for index in 0..<count {
                let stored = source.loadUnaligned(
                    fromByteOffset: 2 &* index, as: UInt16.self)
                target[index] = Float(bitPattern: UInt32(stored) << 16)
            }
        case .f8e4m3, .f8e5m2:
            let table = type == .f8e4m3 ? smallTable : wideTable
            for index in 0..<count {
                target[index] = table[Int(source.load(fromByteOffset: index, as: UInt8.self))]
            }
        case .f64:
            for index in 0..<count {
                target[index] = Float(
                    source.loadUnaligned(fromByteOffset: 8 &* index, as: Double.self))
            }
        default:
            UnsafeMutableRawPointer(target).copyMemory(from: source, byteCount: 4 * count)
        }
    }

    /// Every F8_E5M2: the upper byte of a half.
    private static let wideTable = (UInt16(0)..<256).map { half($0 << 8) }

    /// Every F8_E4M3 (Micikevicius et al. 2022, §3): bias 7, no infinity, NaN only where all bits are
    /// set.
    private static let smallTable: [Float] = (0..<256).map { byte in
        let exponent = byte >> 3 & 15
        let mantissa = byte & 7
        if byte & 0x7f == 0x7f { return .nan }
        let size: Float =
            exponent == 0
            ? Float(mantissa) * 0x1p-9
            : Float(8 + mantissa) * Float(sign: .plus, exponent: exponent - 10, significand: 1)
        return byte & 0x80 == 0 ? size : -size
    }

    /// An IEEE 754 half as a float, exactly. Written with integers and selects, so that a loop over
    /// it becomes vector code on every machine (the compiler's own conversion is a call).
    @inline(__always)
    static func half(_ bits: UInt16) -> Float {
        let sign = UInt32(bits & 0x8000) << 16
        let magnitude = UInt32(bits & 0x7fff)
        let rebias: UInt32 = 112 << 23
        // Subnormal halves are multiples of 2⁻²⁴; as floats they are normal.
        let small = (Float(Int32(bitPattern: magnitude)) * 0x1p-24).bitPattern
        let normal = (magnitude << 13) &+ rebias
        let special = normal &+ rebias
        let value = magnitude < 0x0400 ? small : (magnitude >= 0x7c00 ? special : normal)
        return Float(bitPattern: value | sign)
    }

    /// Where the first NaN or infinity is; `nil` when every value is finite.
    static func firstNonFinite(_ values: [Float]) -> Int? {
        let largest = values.withUnsafeBufferPointer { buffer in
            var largest: UInt32 = 0
            for value in buffer { largest = max(largest, value.bitPattern & 0x7fff_ffff) }
            return largest
        }
        guard largest >= 0x7f80_0000 else { return nil }
        return values.firstIndex { !$0.isFinite }
    }
}
