extension ImagePreprocessing {
    /// Whose pixels: the order of steps, the arithmetic of the resize, the rounding of sizes and
    /// offsets. The raw values are the names that settings and replies use.
    public enum Profile: String, Sendable, CaseIterable {
        /// transformers' image processors on Pillow (`CLIPImageProcessorPil`; the default until
        /// transformers 5): transparency is laid over white and the image made RGB, then resized by
        /// Pillow; crop offsets are floored.
        case transformersPIL = "transformers-pil"
        /// transformers' image processors on torchvision (`CLIPImageProcessor` of transformers 5, before
        /// that `CLIPImageProcessorFast`): as above, but torch resizes, with weights of sixteen bits; at
        /// most one level apart.
        case transformersTorchvision = "transformers-torchvision"
        /// open_clip's `image_transform`: resized and cropped in the file's own mode (alpha
        /// premultiplied; palettes and bilevel by nearest neighbour), then made RGB with alpha
        /// dropped; crop offsets are rounded half to even.
        case openCLIP = "open_clip"
        /// ComfyUI's CLIP vision (`clip_preprocess`): made RGB with alpha dropped, resized as floats by
        /// torch, both sides rounded, cut with floored offsets, clipped and rounded to whole levels.
        case comfy

        /// Of the names in a fingerprint, which outlives the names that people use.
        var identity: String { self == .transformersPIL ? "transformers" : rawValue }
    }

    /// The same preprocessing as another library would do it.
    ///
    /// - Throws: `EncoderError.unsupported` for what that library has not.
    package func adopting(_ profile: Profile) throws(EncoderError) -> ImagePreprocessing {
        var result = self
        result.profile = profile
        func missing(_ expected: String, _ actual: String) -> EncoderError {
            .unsupported(
                what: "image profile \(profile.rawValue)", expected: expected, actual: actual)
        }
        switch profile {
        case .transformersPIL: break
        case .transformersTorchvision:
            guard interpolation != .box, interpolation != .hamming else {
                throw missing("nearest, lanczos, bilinear or bicubic", "\(interpolation)")
            }
        case .openCLIP:
            result.rescaleFactor = 1 / 255
        case .comfy:
            guard height == width else {
                throw missing("a square image tower", "\(width) × \(height)")
            }
            if case .squash = resize {
            } else {
                result.resize = .shortest(edge: height)
            }
            result.centerCrops = true
            result.interpolation = .bicubic
            result.fill = 0
            result.convertsToRGB = true
            result.rescaleFactor = 1 / 255
            result.mean = mean ?? Self.clipMean
            result.std = std ?? Self.clipStd
        }
        return result
    }
}
