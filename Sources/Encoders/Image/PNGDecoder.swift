import CPNGReader

/// Decodes PNG files of every colour type and bit depth into Pillow's modes.
///
/// Gamma, colour profiles and background chunks are ignored, as Pillow does. Sixteen-bit colour
/// keeps the high byte; sixteen-bit grey keeps all of it (`I;16`). Of an animation the default
/// image is taken. Stricter than Pillow: a wrong checksum anywhere up to the last pixel is an
/// error.
public enum PNGDecoder {
    static let signature: [UInt8] = [0x89, 0x50, 0x4E, 0x47, 0x0D, 0x0A, 0x1A, 0x0A]

    /// Nothing that changes a pixel is larger than a palette; bigger chunks are skipped.
    private static let maximumChunk = 1 << 20

    /// Decodes one file.
    ///
    /// - Throws: `EncoderError.tooLarge` over a limit; `EncoderError.image` for anything that is
    ///   no PNG, is damaged, or ends early.
    public static func decode(
        _ bytes: [UInt8], limits: ImageLimits = ImageLimits()
    ) throws(EncoderError) -> DecodedImage {
        let result: Result<DecodedImage, EncoderError> = bytes.withUnsafeBytes { buffer in
            do throws(EncoderError) {
                return .success(try decode(buffer, limits: limits))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }

    /// Decodes one file from bytes that the caller keeps alive for the call.
    ///
    /// - Throws: as for arrays.
    public static func decode(
        _ bytes: UnsafeRawBufferPointer, limits: ImageLimits = ImageLimits()
    ) throws(EncoderError) -> DecodedImage {
        try checkHeader(bytes, limits: limits)
        guard let base = bytes.bindMemory(to: UInt8.self).baseAddress else {
            throw .image(expected: "a PNG file", actual: "no bytes")
        }
        var header = image_png_header()
        var message = Message()
        guard
            let reader = message.capture({ text in
                image_png_open(
                    base, bytes.count, UInt32(clamping: limits.maximumSide),
                    UInt32(clamping: limits.maximumSide), maximumChunk, &header, text)
            })
        else {
            throw .image(expected: "a PNG file", actual: "a damaged one: \(message.text)")
        }
        defer { image_png_close(reader) }

        let count =
            Int(header.width) * Int(header.height)
            * Int(header.channels) * Int(header.sample_size)
        var status: Int32 = -1
        let pixels = [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            status = message.capture { image_png_read(reader, buffer.baseAddress, count, $0) }
            initialized = status == 0 ? count : 0
        }
        guard status == 0 else {
            throw .image(expected: "a whole PNG file", actual: "a damaged one: \(message.text)")
        }
        return try image(header, pixels: pixels)
    }

    /// What the first bytes of a file say of it.
    public struct Header: Equatable, Sendable {
        public let width: Int
        public let height: Int
        /// Of the decoded image, at least 1.
        public let bytesPerPixel: Int
    }

    /// Signature, size and plausibility, from the first 33 bytes alone.
    ///
    /// - Throws: as `decode`.
    @discardableResult
    public static func checkHeader(
        _ bytes: UnsafeRawBufferPointer, limits: ImageLimits = ImageLimits()
    ) throws(EncoderError) -> Header {
        guard bytes.count <= limits.maximumBytes else {
            throw .tooLarge(
                what: "encoded image bytes", limit: limits.maximumBytes, actual: bytes.count)
        }
        guard bytes.count >= 8, bytes.prefix(8).elementsEqual(signature) else {
            if let name = FileFormat.name(bytes) {
                throw .image(expected: "a PNG file", actual: name)
            }
            let start = bytes.prefix(8).map { hexadecimal($0) }.joined(separator: " ")
            throw .image(
                expected: "a PNG file (starting 89 50 4E 47 0D 0A 1A 0A)",
                actual: bytes.isEmpty ? "no bytes" : "\(bytes.count) bytes starting \(start)")
        }
        guard bytes.count >= 33 else {
            throw .image(
                expected: "a whole PNG file", actual: "one that ends after \(bytes.count) bytes")
        }
        guard bytes[12..<16].elementsEqual("IHDR".utf8) else {
            throw .image(expected: "an IHDR chunk at byte 12", actual: "another chunk")
        }
        func word(_ offset: Int) -> Int {
            bytes[offset..<offset + 4].reduce(0) { $0 << 8 | Int($1) }
        }
        let (width, height) = (word(16), word(20))
        try limits.check(width: width, height: height)

        // Deflate shrinks by at most 1032 to 1, so a short file cannot hold a large picture, and
        // nothing need be allocated to find out.
        let channels = [0: 1, 2: 3, 3: 1, 4: 2, 6: 4][bytes[25]] ?? 1
        let stored = width * channels * Int(bytes[24]) / 8 * height
        guard stored / 1032 <= bytes.count else {
            throw .image(
                expected: "a whole PNG file of \(width) × \(height) pixels",
                actual: "one that ends after \(bytes.count) bytes")
        }
        return Header(
            width: width, height: height,
            bytesPerPixel: max(channels * max(Int(bytes[24]), 8) / 8, 1))
    }

    private static func hexadecimal(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return digits.count == 1 ? "0" + digits : digits
    }

    /// Gives the decoded samples Pillow's mode, and its reading of the tRNS chunk.
    private static func image(
        _ header: image_png_header, pixels: [UInt8]
    ) throws(EncoderError) -> DecodedImage {
        let (width, height) = (Int(header.width), Int(header.height))
        let stored = [
            header.transparent_color.0, header.transparent_color.1, header.transparent_color.2,
        ]
        let hasKey = header.has_transparent_color != 0
        switch (header.color_type, header.bit_depth) {
        case (0, 1):
            return DecodedImage(
                mode: .bilevel, width: width, height: height, bytes: pixels,
                transparentColor: hasKey ? [stored[0] == 0 ? 0 : 255] : nil)
        case (0, let depth):
            // Pillow compares the low byte of the stored value with samples already widened to
            // eight bits, also where the file has fewer or more.
            return DecodedImage(
                mode: depth == 16 ? .grey16 : .grey, width: width, height: height, bytes: pixels,
                transparentColor: hasKey ? [UInt8(truncatingIfNeeded: stored[0])] : nil)
        case (2, _):
            return DecodedImage(
                mode: .rgb, width: width, height: height, bytes: pixels,
                transparentColor: hasKey ? stored.map { UInt8(truncatingIfNeeded: $0) } : nil)
        case (3, _):
            return DecodedImage(
                mode: .palette, width: width, height: height, bytes: pixels,
                palette: palette(header))
        case (4, 8):
            return DecodedImage(mode: .greyAlpha, width: width, height: height, bytes: pixels)
        case (4, _):
            // Pillow has no sixteen-bit grey with alpha and reads it as RGBA.
            return DecodedImage(
                mode: .rgba, width: width, height: height, bytes: Self.widened(greyAlpha: pixels))
        case (6, _):
            return DecodedImage(mode: .rgba, width: width, height: height, bytes: pixels)
        case (let type, let depth):
            throw .image(
                expected: "a colour type and bit depth of the PNG standard",
                actual: "colour type \(type) with \(depth) bits")
        }
    }

    private static func widened(greyAlpha pixels: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: pixels.count * 2) { buffer, initialized in
            for pixel in 0..<pixels.count / 2 {
                let grey = pixels[2 * pixel]
                buffer[4 * pixel] = grey
                buffer[4 * pixel + 1] = grey
                buffer[4 * pixel + 2] = grey
                buffer[4 * pixel + 3] = pixels[2 * pixel + 1]
            }
            initialized = pixels.count / 2 * 4
        }
    }

    private static func palette(_ header: image_png_header) -> DecodedImage.Palette {
        let rgb = withUnsafeBytes(of: header.palette) {
            [UInt8]($0.prefix(Int(header.palette_count) * 3))
        }
        guard header.palette_alpha_count > 0 else {
            return DecodedImage.Palette(rgb: rgb, alpha: nil)
        }
        let alpha = withUnsafeBytes(of: header.palette_alpha) {
            [UInt8]($0.prefix(Int(header.palette_alpha_count)))
        }
        return DecodedImage.Palette(rgb: rgb, alpha: simplified(alpha))
    }

    /// Pillow recognises "one transparent entry among opaque ones" with a regular expression whose
    /// `$` also matches before a final newline, so an alpha of 10 in last place counts as opaque.
    private static func simplified(_ alpha: [UInt8]) -> [UInt8] {
        guard alpha.last == 10 else { return alpha }
        let rest = alpha.dropLast()
        guard rest.count(where: { $0 == 0 }) == 1, rest.allSatisfy({ $0 == 0 || $0 == 255 })
        else { return alpha }
        return Array(rest)
    }
}

/// Room for the text that libpng leaves when it fails.
struct Message {
    private var storage = [CChar](repeating: 0, count: Int(IMAGE_MESSAGE_SIZE))

    mutating func capture<Value>(_ body: (UnsafeMutablePointer<CChar>?) -> Value) -> Value {
        storage.withUnsafeMutableBufferPointer { body($0.baseAddress) }
    }

    var text: String {
        String(
            decoding: storage.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
