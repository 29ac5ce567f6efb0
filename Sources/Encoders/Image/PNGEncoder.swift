import CPNGReader

/// Writes 8-bit PNG files: heat maps and the pictures of a gallery.
public enum PNGEncoder {
    /// Encodes `[height, width, 3]` bytes.
    ///
    /// - Throws: `EncoderError.image` when the bytes do not fit the size.
    public static func encode(
        rgb: [UInt8], height: Int, width: Int
    ) throws(EncoderError) -> [UInt8] {
        try encode(rgb, channels: 3, height: height, width: width)
    }

    /// Encodes `[height, width, 4]` bytes, alpha not premultiplied.
    ///
    /// - Throws: `EncoderError.image` when the bytes do not fit the size.
    public static func encode(
        rgba: [UInt8], height: Int, width: Int
    ) throws(EncoderError) -> [UInt8] {
        try encode(rgba, channels: 4, height: height, width: width)
    }

    /// Encodes `[height, width]` bytes.
    ///
    /// - Throws: `EncoderError.image` when the bytes do not fit the size.
    public static func encode(
        grey: [UInt8], height: Int, width: Int
    ) throws(EncoderError) -> [UInt8] {
        try encode(grey, channels: 1, height: height, width: width)
    }

    private static func encode(
        _ pixels: [UInt8], channels: Int, height: Int, width: Int
    ) throws(EncoderError) -> [UInt8] {
        guard width > 0, height > 0, width <= 1_000_000, height <= 1_000_000,
            pixels.count == width * height * channels
        else {
            throw .image(
                expected: "\(height) × \(width) × \(channels) bytes, no side over 1,000,000",
                actual: "\(pixels.count) bytes")
        }
        var encoded: UnsafeMutablePointer<UInt8>?
        var count = 0
        var message = Message()
        let status = message.capture { text in
            image_png_write(
                pixels, UInt32(width), UInt32(height), Int32(channels), &encoded, &count, text)
        }
        guard status == 0, let encoded else {
            throw .image(expected: "pixels that encode", actual: message.text)
        }
        defer { image_free(encoded) }
        return Array(UnsafeBufferPointer(start: encoded, count: count))
    }
}
