/// The sizes that Stable Diffusion XL is told, in pixels, and the scores of its refiner.
public struct ImageSizes: Sendable, Equatable {
    /// Of the picture that is made.
    public var width: Int
    public var height: Int
    /// Where a crop of that size would lie in the original.
    public var cropTop: Int
    public var cropLeft: Int
    public var originalWidth: Int
    public var originalHeight: Int
    public var aestheticScore: Double
    public var negativeAestheticScore: Double

    /// The defaults of diffusers' pipelines: the model's own 1024 pixels, no crop, the original as
    /// large as the picture, scores 6 and 2.5.
    public init(
        width: Int = 1024, height: Int = 1024, cropTop: Int = 0, cropLeft: Int = 0,
        originalWidth: Int? = nil, originalHeight: Int? = nil, aestheticScore: Double = 6,
        negativeAestheticScore: Double = 2.5
    ) {
        self.width = width
        self.height = height
        self.cropTop = cropTop
        self.cropLeft = cropLeft
        self.originalWidth = originalWidth ?? width
        self.originalHeight = originalHeight ?? height
        self.aestheticScore = aestheticScore
        self.negativeAestheticScore = negativeAestheticScore
    }
}

extension TimeIDKind {
    /// The numbers for the prompt or for the negative prompt (diffusers,
    /// `pipeline_stable_diffusion_xl_img2img.py`, `_get_add_time_ids`).
    public func values(_ sizes: ImageSizes, isNegative: Bool) -> [Float] {
        let first = [
            Float(sizes.originalHeight), Float(sizes.originalWidth), Float(sizes.cropTop),
            Float(sizes.cropLeft),
        ]
        switch self {
        case .sizes: return first + [Float(sizes.height), Float(sizes.width)]
        case .aesthetic:
            return first + [
                Float(isNegative ? sizes.negativeAestheticScore : sizes.aestheticScore)
            ]
        }
    }
}
