import CKernels

/// How floats are stored in a frame; the names are those of the Open Inference Protocol.
public enum FloatFormat: String, Sendable, CaseIterable {
    case fp32 = "FP32"
    case fp16 = "FP16"
    case bf16 = "BF16"

    /// Bytes of one value.
    public var size: Int { self == .fp32 ? 4 : 2 }
}

/// Pixels as they come over the wire, made ready for differentiable maps.
public enum PixelConversions {
    /// Widens one float image exactly, and checks that every value is finite.
    ///
    /// - Parameters:
    ///   - bytes: `[3, height, width]`, little-endian; no alignment needed.
    /// - Returns: `[3, height, width]`.
    /// - Throws: `EncoderError.image` when the size is not positive, when the bytes do not fit it,
    ///   or naming the first value that is NaN or infinite; `EncoderError.tooLarge` over a limit.
    public static func planes(
        _ bytes: UnsafeRawBufferPointer, format: FloatFormat, height: Int, width: Int,
        limits: ImageLimits = ImageLimits()
    ) throws(EncoderError) -> [Float] {
        try limits.check(width: width, height: height)
        let pixels = width * height
        let (size, overflow) = pixels.multipliedReportingOverflow(by: 3 * format.size)
        guard !overflow, bytes.count == size, let base = bytes.baseAddress else {
            throw .image(
                expected: "3 × \(height) × \(width) values of \(format.size) bytes",
                actual: "\(bytes.count) bytes")
        }
        let count = 3 * pixels
        var isFinite = true
        let values = [Float](unsafeUninitializedCapacity: count) { output, initialized in
            guard let target = output.baseAddress else { return }
            // Each piece is checked while it is still in the cache.
            let piece = 1 << 12
            for start in stride(from: 0, to: count, by: piece) {
                let size = min(piece, count - start)
                let source = base + start * format.size
                switch format {
                case .fp32:
                    UnsafeMutableRawPointer(target + start).copyMemory(
                        from: source, byteCount: 4 * size)
                case .fp16: gk_widen_f16(source, target + start, size)
                case .bf16: gk_widen_bf16(source, target + start, size)
                }
                isFinite = gk_first_not_finite(target + start, size) == size && isFinite
            }
            initialized = count
        }
        if !isFinite { try checkFinite(values, height: height, width: width) }
        return values
    }

    /// As above, from an array.
    public static func planes(
        _ bytes: [UInt8], format: FloatFormat, height: Int, width: Int,
        limits: ImageLimits = ImageLimits()
    ) throws(EncoderError) -> [Float] {
        let result: Result<[Float], EncoderError> = bytes.withUnsafeBytes { buffer in
            do throws(EncoderError) {
                return .success(
                    try planes(
                        buffer, format: format, height: height, width: width, limits: limits))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Throws `EncoderError.image` naming the first value of `[3, height, width]` that is NaN or
    /// infinite.
    public static func checkFinite(
        _ values: [Float], height: Int, width: Int
    ) throws(EncoderError) {
        let index = gk_first_not_finite(values, values.count)
        guard index < values.count else { return }
        let (channel, rest) = index.quotientAndRemainder(dividingBy: max(1, height * width))
        let (row, column) = rest.quotientAndRemainder(dividingBy: max(1, width))
        let name = values[index].isNaN ? "NaN" : "\(values[index])"
        throw .image(
            expected: "finite pixels",
            actual: "\(name) at index \(index) (channel \(channel), row \(row), column \(column))")
    }
}

extension DecodedImage {
    /// The image as the differentiable path takes it: RGB as the profile converts, widened to
    /// 0…1.
    ///
    /// All profiles convert before the resize here: premultiplied alpha and nearest neighbour
    /// belong to the byte path of open_clip, and have no useful gradient.
    ///
    /// - Returns: `[3, height, width]`.
    public func unitPlanes(_ profile: ImagePreprocessing.Profile) -> [Float] {
        let raster =
            switch profile {
            case .transformersPIL, .transformersTorchvision: overWhite
            case .openCLIP, .comfy: opaque
            }
        let (pixels, channels) = (width * height, raster.channels)
        return [Float](unsafeUninitializedCapacity: 3 * pixels) { output, count in
            raster.bytes.withUnsafeBufferPointer {
                gk_unit_planes($0.baseAddress, pixels, channels, output.baseAddress)
            }
            count = 3 * pixels
        }
    }
}
