public import Encoders

extension ResampleMap {
    /// Preprocessing without rounding: a model's resize, crop and normalisation of a float image as one
    /// affine map.
    ///
    /// The reference is torch's `interpolate(mode: "bicubic", antialias: True, align_corners: False)`
    /// to the size that the profile's resize gives, then the profile's crop, then (x − mean)/std.
    /// A configuration that names another filter gets that filter's continuous form.
    ///
    /// - Parameters:
    ///   - height, width: of the images to come, [3, height, width], nominally 0…1.
    /// - Throws: `EncoderError.image` when an image of this size cannot take the configured steps.
    public init(
        _ preprocessing: ImagePreprocessing, height: Int, width: Int
    ) throws(EncoderError) {
        // Positions are kept in 32 bits.
        guard (1...1 << 30).contains(height), (1...1 << 30).contains(width) else {
            throw .image(
                expected: "a width and a height of 1 to \(1 << 30)",
                actual: "\(width) × \(height)")
        }
        let (rows, columns) = try preprocessing.plans(height: height, width: width)
        // The input is 0…1 where the byte path has 0…255, of which a factor of 1/255 makes 0…1.
        let factor = preprocessing.rescaleFactor.map { $0 == 1 / 255 ? 1 : $0 * 255 } ?? 255
        let mean = preprocessing.mean ?? [0, 0, 0]
        let std = preprocessing.std ?? [1, 1, 1]
        self.init(
            Resampling(ImageShape(height: height, width: width))
                .resize(
                    height: rows.resized, width: columns.resized,
                    .interpolation(preprocessing.interpolation)
                )
                .crop(
                    top: rows.offset, left: columns.offset, height: rows.output,
                    width: columns.output, fill: Float(preprocessing.fill) / 255
                )
                .normalize(
                    gain: std.map { Float(factor / Double($0)) },
                    bias: zip(mean, std).map { -$0 / $1 }))
    }
}
