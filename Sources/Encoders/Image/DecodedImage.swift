/// An image as it was stored, before any conversion: rows of interleaved samples in one of the
/// modes of Pillow, whose pixels are the reference.
///
/// The mode is kept because preprocessing depends on it: some references convert to RGB before
/// they resize, others after (`ImagePreprocessing.Profile`).
public struct DecodedImage: Sendable, Equatable {
    /// The names and layouts are Pillow's.
    public enum Mode: String, Sendable, CaseIterable {
        /// One byte a pixel, 0 or 255.
        case bilevel = "1"
        case grey = "L"
        case greyAlpha = "LA"
        /// One byte a pixel, an index into `palette`.
        case palette = "P"
        case rgb = "RGB"
        case rgba = "RGBA"
        /// Two bytes a pixel, low byte first.
        case grey16 = "I;16"

        /// Bytes of one pixel.
        public var bytesPerPixel: Int {
            switch self {
            case .bilevel, .grey, .palette: 1
            case .greyAlpha, .grey16: 2
            case .rgb: 3
            case .rgba: 4
            }
        }
    }

    /// 256 colours; entries the file did not give are opaque black.
    public struct Palette: Sendable, Equatable {
        /// 256 × (red, green, blue, alpha).
        public let rgba: [UInt8]
        /// Whether the file gave any transparency (it may still be opaque throughout).
        public let hasTransparency: Bool

        /// - Parameters:
        ///   - rgb: up to 256 × 3 bytes. Longer arrays are cut.
        ///   - alpha: the alpha of the first entries; `nil` when the file gave none.
        public init(rgb: [UInt8], alpha: [UInt8]?) {
            var rgba = [UInt8](repeating: 0, count: 1024)
            for entry in 0..<256 {
                for channel in 0..<3 where entry * 3 + channel < rgb.count {
                    rgba[entry * 4 + channel] = rgb[entry * 3 + channel]
                }
                rgba[entry * 4 + 3] = 255
            }
            for (entry, value) in (alpha ?? []).prefix(256).enumerated() {
                rgba[entry * 4 + 3] = value
            }
            self.rgba = rgba
            hasTransparency = alpha != nil
        }
    }

    public let mode: Mode
    public let width: Int
    public let height: Int
    /// height × width × `mode.bytesPerPixel`, rows from the top, without padding.
    public let bytes: [UInt8]
    /// The colours of mode `palette`; `nil` in every other mode.
    public let palette: Palette?
    /// The one colour that is fully transparent (PNG's tRNS), in 8-bit samples: one value for grey
    /// modes, three for RGB.
    public let transparentColor: [UInt8]?

    /// For the decoder and for tests, which see to it that everything fits together.
    package init(
        mode: Mode, width: Int, height: Int, bytes: [UInt8], palette: Palette? = nil,
        transparentColor: [UInt8]? = nil
    ) {
        self.mode = mode
        self.width = width
        self.height = height
        self.bytes = bytes
        self.palette = palette
        self.transparentColor = transparentColor
    }

    /// Raw pixels `[height, width, 3]`, 0–255.
    ///
    /// - Throws: `EncoderError.image` when the size is not positive or the bytes do not fit it;
    ///   `EncoderError.tooLarge` over a limit.
    public init(
        rgb bytes: [UInt8], height: Int, width: Int, limits: ImageLimits = ImageLimits()
    ) throws(EncoderError) {
        try self.init(raw: bytes, mode: .rgb, height: height, width: width, limits: limits)
    }

    /// Raw pixels `[height, width, 4]`, 0–255, alpha not premultiplied.
    ///
    /// - Throws: as for RGB.
    public init(
        rgba bytes: [UInt8], height: Int, width: Int, limits: ImageLimits = ImageLimits()
    ) throws(EncoderError) {
        try self.init(raw: bytes, mode: .rgba, height: height, width: width, limits: limits)
    }

    /// Raw pixels of a mode that needs no palette.
    ///
    /// - Throws: as for RGB; `EncoderError.image` for mode `palette`.
    public init(
        raw bytes: [UInt8], mode: Mode, height: Int, width: Int,
        limits: ImageLimits = ImageLimits()
    ) throws(EncoderError) {
        try limits.check(width: width, height: height)
        guard mode != .palette else {
            throw .image(expected: "a mode without a palette", actual: "mode \(mode.rawValue)")
        }
        let (count, overflow) = (width * height).multipliedReportingOverflow(
            by: mode.bytesPerPixel)
        guard !overflow, bytes.count == count else {
            throw .image(
                expected: "\(height) × \(width) × \(mode.bytesPerPixel) bytes",
                actual: "\(bytes.count) bytes")
        }
        self.init(mode: mode, width: width, height: height, bytes: bytes)
    }
}
