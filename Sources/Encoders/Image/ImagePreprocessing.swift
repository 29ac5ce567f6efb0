/// How an image becomes the input of a vision tower: sizes, filter, crop and normalisation, read
/// from a checkpoint (`ImagePreprocessing+Configuration.swift`) or CLIP's defaults.
///
/// The pixels before normalisation equal the reference's byte for byte.
public struct ImagePreprocessing: Sendable, Hashable {
    /// The size that an image is brought to before the crop.
    public enum Resize: Sendable, Hashable {
        /// As it is.
        case none
        /// The shorter side becomes `edge`, the longer `int(edge · long / short)`.
        case shortest(edge: Int)
        /// transformers' `shortest_edge` with `longest_edge`: as `shortest`, unless the longer
        /// side would then exceed `longest`.
        case bounded(shortest: Int, longest: Int)
        /// Exactly this size, whatever the aspect ratio.
        case squash(height: Int, width: Int)
        /// The aspect ratio kept, the smallest size that covers this one (open_clip, for models
        /// that are not square).
        case cover(height: Int, width: Int)
        /// The aspect ratio kept, the largest size that fits into this one (open_clip's
        /// `longest`).
        case fit(height: Int, width: Int)
    }

    public var profile: Profile
    public var resize: Resize
    public var interpolation: Interpolation
    /// Whether the result is cut, or padded with `fill`, to `height` × `width`.
    public var centerCrops: Bool
    /// Height and width of the result; an image that does not come out so is an error.
    public var height: Int
    public var width: Int
    /// The value of padding, 0–255.
    public var fill: UInt8
    /// False for configurations that leave images as they are; only RGB can then be used.
    public var convertsToRGB: Bool
    /// Bytes are multiplied by this (1/255, as a rule), or left alone when `nil`.
    public var rescaleFactor: Double?
    /// Per channel, after rescaling; both are `nil` when the configuration does not normalise.
    public var mean: [Float]?
    public var std: [Float]?

    /// The values that OpenAI trained CLIP with.
    public static let clipMean: [Float] = [0.48145466, 0.4578275, 0.40821073]
    public static let clipStd: [Float] = [0.26862954, 0.26130258, 0.27577711]

    /// CLIP's preprocessing for a square model: shorter side to `size` by bicubic interpolation,
    /// centre crop, OpenAI's mean and deviation.
    public init(profile: Profile, size: Int) {
        self.profile = profile
        resize = .shortest(edge: size)
        interpolation = .bicubic
        centerCrops = true
        height = size
        width = size
        fill = 0
        convertsToRGB = true
        rescaleFactor = 1 / 255
        mean = Self.clipMean
        std = Self.clipStd
    }

    /// The exact pixels that the reference would normalise, in whole levels.
    ///
    /// - Returns: `[height, width, 3]`.
    /// - Throws: `EncoderError.image` when the image cannot take the configured steps.
    public func bytes(_ image: DecodedImage) throws(EncoderError) -> [UInt8] {
        let (rows, columns) = try plans(height: image.height, width: image.width)
        let raster: Raster
        switch profile {
        case .transformersPIL, .transformersTorchvision:
            guard convertsToRGB || image.mode == .rgb else {
                throw .image(
                    expected: "an RGB image (this model's preprocessing does not convert)",
                    actual: "mode \(image.mode.rawValue)")
            }
            raster = (convertsToRGB ? image.overWhite : image.opaque)
                .resized(
                    interpolation, columns: columns, rows: rows,
                    as: profile == .transformersPIL ? .pillow : .torch
                )
                .padded(columns: columns, rows: rows, fill: fill)
        case .openCLIP:
            raster = inOwnMode(image, columns: columns, rows: rows)
        case .comfy:
            raster = FloatRaster.resizing(image.opaque, columns: columns, rows: rows).bytes
        }
        return raster.rgb
    }

    /// Resize, crop and padding in the image's own mode, then conversion to RGB.
    private func inOwnMode(
        _ image: DecodedImage, columns: AxisPlan, rows: AxisPlan
    ) -> Raster {
        let (width, height) = (image.width, image.height)
        func finished(_ raster: Raster, mode: DecodedImage.Mode, fill: UInt8) -> Raster {
            let raster = raster.padded(columns: columns, rows: rows, fill: fill)
            return DecodedImage(
                mode: mode, width: raster.width, height: raster.height, bytes: raster.bytes,
                palette: image.palette
            ).opaque
        }
        switch image.mode {
        case .grey16:
            let raster = Raster16(width: width, height: height, bytes: image.bytes)
                .resized(interpolation, columns: columns, rows: rows)
            return finished(raster.clipped, mode: .grey, fill: fill)
        case .greyAlpha, .rgba:
            var raster = Raster(
                width: width, height: height, channels: image.mode.bytesPerPixel,
                bytes: image.bytes)
            if rows.resized == rows.input && columns.resized == columns.input
                || interpolation == .nearest
            {
                raster = raster.resized(interpolation, columns: columns, rows: rows)
            } else {
                raster =
                    raster.premultiplied
                    .resized(interpolation, columns: columns, rows: rows).unpremultiplied
            }
            return finished(raster, mode: image.mode, fill: fill)
        case .bilevel, .palette:
            let raster = Raster(width: width, height: height, channels: 1, bytes: image.bytes)
                .resized(.nearest, columns: columns, rows: rows)
            let isBilevel = image.mode == .bilevel
            return finished(
                raster, mode: image.mode, fill: isBilevel ? (fill == 0 ? 0 : 255) : fill)
        case .grey, .rgb:
            return image.opaque.resized(interpolation, columns: columns, rows: rows)
                .padded(columns: columns, rows: rows, fill: fill)
        }
    }

    /// The normalised input of the tower; equal to the reference's floats, bit for bit.
    ///
    /// - Returns: `[3, height, width]`.
    /// - Throws: as `bytes(_:)`.
    public func pixels(_ image: DecodedImage) throws(EncoderError) -> [Float] {
        let bytes = try bytes(image)
        let plane = height * width
        // Every byte has one result a channel, so the arithmetic runs 3 × 256 times.
        let tables = (0..<3).map { channel in
            (0...255).map { normalized(UInt8($0), channel: channel) }
        }
        return [Float](unsafeUninitializedCapacity: 3 * plane) { output, count in
            bytes.withUnsafeBufferPointer { input in
                for (channel, table) in tables.enumerated() {
                    table.withUnsafeBufferPointer { table in
                        for pixel in 0..<plane {
                            output[channel * plane + pixel] = table[Int(input[3 * pixel + channel])]
                        }
                    }
                }
            }
            count = 3 * plane
        }
    }

    private func normalized(_ byte: UInt8, channel: Int) -> Float {
        var value = Float(byte)
        switch profile {
        case .transformersPIL:
            // Rescaled in double precision.
            if let rescaleFactor { value = Float(Double(byte) * rescaleFactor) }
        case .transformersTorchvision:
            // Mean and deviation are brought to the scale of bytes instead.
            if let rescaleFactor, let mean, let std {
                let inverse = Float(1 / rescaleFactor)
                return (value - mean[channel] * inverse) / (std[channel] * inverse)
            }
            if let rescaleFactor { value *= Float(rescaleFactor) }
        case .openCLIP, .comfy:
            if rescaleFactor != nil { value /= 255 }
        }
        if let mean, let std { value = (value - mean[channel]) / std[channel] }
        return value
    }
}
