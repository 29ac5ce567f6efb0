/// Numbers as tensor frames and back: little-endian, C order.
///
/// The frames are the machine's own memory; the package supports little-endian machines only.
public enum TensorEncoding {
    /// The datatypes that float results may be asked for in.
    public static let floatTypes: [Datatype] = [.fp32, .fp16, .bf16]

    /// An output of `values` in a float datatype, each rounded to nearest, ties to even; a value
    /// beyond the datatype's range becomes infinite, NaN stays NaN.
    ///
    /// - Parameters:
    ///   - values: as many as `shape` says.
    ///   - field: what to name in the error, such as `params.datatype`.
    /// - Throws: `bad_request` for a datatype other than FP32, FP16 and BF16.
    public static func tensor(
        name: String, shape: [Int], values: [Float], as datatype: Datatype = .fp32,
        field: String = "params.datatype"
    ) throws(WireFault) -> Tensor {
        let frame: Frame
        switch datatype {
        case .fp32: frame = Frame(values)
        case .fp16: frame = Frame(fp16(values))
        case .bf16: frame = Frame(bf16(values))
        case .uint8, .int32, .int64, .bytes:
            let known = floatTypes.map(\.rawValue).joined(separator: ", ")
            throw WireFault(
                .badRequest, "expected one of \(known), found \(datatype.rawValue)", field: field)
        }
        return Tensor(TensorHeader(name: name, datatype: datatype, shape: shape), frame)
    }

    /// The bit patterns of half-precision floats, rounded to nearest, ties to even.
    public static func fp16(_ values: [Float]) -> [UInt16] {
        values.map { Float16($0).bitPattern }
    }

    /// The bit patterns of bfloat16 numbers, rounded to nearest, ties to even.
    public static func bf16(_ values: [Float]) -> [UInt16] { values.map(bfloat16) }

    /// The elements of a numeric tensor, widened exactly where the datatype is FP16, BF16 or UINT8;
    /// INT32 and INT64 are rounded to the nearest float.
    ///
    /// - Throws: `bad_tensor` for BYTES, or a frame that is no whole number of elements.
    public static func floats(_ tensor: Tensor) throws(WireFault) -> [Float] {
        let frame = tensor.frame
        let datatype = tensor.header.datatype
        guard let size = datatype.size, frame.count.isMultiple(of: size) else {
            throw WireFault(
                .badTensor,
                "expected numbers, found \(frame.count) bytes of \(datatype.rawValue)",
                field: tensor.header.name)
        }
        switch datatype {
        case .fp32: return frame.elements(Float.self) { $0 }
        case .fp16: return frame.elements(UInt16.self) { Float(Float16(bitPattern: $0)) }
        case .bf16: return frame.elements(UInt16.self) { Float(bitPattern: UInt32($0) << 16) }
        case .uint8: return frame.elements(UInt8.self) { Float($0) }
        case .int32: return frame.elements(Int32.self) { Float($0) }
        case .int64: return frame.elements(Int64.self) { Float($0) }
        case .bytes: return []
        }
    }

    /// The upper half of a float's bits after rounding to nearest, ties to even.
    static func bfloat16(_ value: Float) -> UInt16 {
        let bits = value.bitPattern
        // Rounding could carry a NaN's low payload bits into the exponent: keep it a quiet NaN.
        if value.isNaN { return UInt16(bits >> 16) | 0x40 }
        let rounding = 0x7fff + (bits >> 16) & 1
        return UInt16((bits + rounding) >> 16)
    }
}

extension Frame {
    /// The elements of a frame that is a whole number of them, each converted.
    fileprivate func elements<Element: BitwiseCopyable>(
        _ type: Element.Type, _ convert: (Element) -> Float
    ) -> [Float] {
        withUnsafeBytes { bytes in
            let stride = MemoryLayout<Element>.stride
            return [Float](unsafeUninitializedCapacity: bytes.count / stride) { buffer, count in
                count = bytes.count / stride
                for index in 0..<count {
                    buffer.initializeElement(
                        at: index,
                        to: convert(
                            bytes.loadUnaligned(fromByteOffset: index * stride, as: type)))
                }
            }
        }
    }
}
