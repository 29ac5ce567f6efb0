/// How large an image from outside may be before it is refused with `EncoderError.tooLarge`.
///
/// Checked against the header of a file, before anything is allocated for its pixels.
public struct ImageLimits: Sendable, Equatable {
    /// Width × height. The default, 64 Mi, is 8192 × 8192.
    public var maximumPixels: Int
    /// Width and height, each.
    public var maximumSide: Int
    /// Bytes of the encoded file.
    public var maximumBytes: Int

    public init(
        maximumPixels: Int = 64 << 20, maximumSide: Int = 65_536, maximumBytes: Int = 256 << 20
    ) {
        self.maximumPixels = maximumPixels
        self.maximumSide = maximumSide
        self.maximumBytes = maximumBytes
    }

    /// Throws when an image of this size is over a limit, or has no pixels.
    public func check(width: Int, height: Int) throws(EncoderError) {
        guard width > 0, height > 0 else {
            throw .image(
                expected: "a width and a height of at least 1", actual: "\(width) × \(height)")
        }
        guard width <= maximumSide, height <= maximumSide else {
            throw .tooLarge(
                what: width > maximumSide ? "image width" : "image height", limit: maximumSide,
                actual: width > maximumSide ? width : height)
        }
        let (pixels, overflow) = width.multipliedReportingOverflow(by: height)
        guard !overflow, pixels <= maximumPixels else {
            throw .tooLarge(
                what: "image pixels", limit: maximumPixels, actual: overflow ? .max : pixels)
        }
    }
}
