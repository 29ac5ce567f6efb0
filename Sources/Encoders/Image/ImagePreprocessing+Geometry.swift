extension ImagePreprocessing {
    /// What happens to the rows and to the columns of an image of this size.
    ///
    /// - Throws: `EncoderError.image` when the resize leaves nothing, or something that is not the
    ///   model's size and is not cropped to it.
    package func plans(
        height: Int, width: Int
    ) throws(EncoderError) -> (rows: AxisPlan, columns: AxisPlan) {
        let (newHeight, newWidth) = resizedSize(height: height, width: width)
        // Pillow counts in 32 bits.
        let limit = Int(Int32.max)
        guard [height, width, newHeight, newWidth].allSatisfy((1...limit).contains) else {
            throw .image(
                expected: "an aspect ratio that leaves 1 to \(limit) pixels a side",
                actual: "\(width) × \(height), resized to \(newWidth) × \(newHeight)")
        }
        guard centerCrops || newHeight == self.height && newWidth == self.width else {
            throw .image(
                expected: "an image that comes out at \(self.width) × \(self.height) pixels "
                    + "(this model's preprocessing does not crop)",
                actual: "\(newWidth) × \(newHeight) from \(width) × \(height)")
        }
        return (
            plan(input: height, resized: newHeight, output: self.height),
            plan(input: width, resized: newWidth, output: self.width)
        )
    }

    private func plan(input: Int, resized: Int, output: Int) -> AxisPlan {
        let excess = resized - output
        let half = excess >> 1  // floor, for negative numbers too
        let offset =
            switch profile {
            case .transformersPIL, .comfy: half
            case .transformersTorchvision:
                // Padding splits with the larger part after the image.
                excess < 0 ? -(-excess / 2) : half
            case .openCLIP:
                // Padding splits with the larger part after the image; cutting rounds half to even.
                excess < 0 ? -(-excess / 2) : half + (excess & 1 == 1 && half & 1 == 1 ? 1 : 0)
            }
        return AxisPlan(input: input, resized: resized, output: output, offset: offset)
    }

    /// Height and width after the resize, before the crop.
    private func resizedSize(height: Int, width: Int) -> (height: Int, width: Int) {
        switch resize {
        case .none:
            return (height, width)
        case .squash(let newHeight, let newWidth):
            return (newHeight, newWidth)
        case .shortest(let edge) where profile == .comfy:
            // An image that has the size already is left alone; all others are scaled on both sides.
            let scale = Double(edge) / Double(min(height, width))
            func side(_ side: Int) -> Int {
                Int(exactly: (scale * Double(side)).rounded(.toNearestOrEven)) ?? .max
            }
            return (side(height), side(width))
        case .shortest(let edge):
            let longer = scaled(edge, max(height, width), min(height, width))
            return width <= height ? (longer, edge) : (edge, longer)
        case .bounded(let shortest, let longest):
            return bounded(shortest, longest, height: height, width: width)
        case .cover(let newHeight, let newWidth):
            let ratio = min(
                Double(height) / Double(newHeight), Double(width) / Double(newWidth))
            return (rounded(height, ratio), rounded(width, ratio))
        case .fit(let newHeight, let newWidth):
            let ratio = max(
                Double(height) / Double(newHeight), Double(width) / Double(newWidth))
            return (rounded(height, ratio), rounded(width, ratio))
        }
    }

    /// transformers' `get_size_with_aspect_ratio` (image_transforms.py).
    private func bounded(
        _ shortest: Int, _ longest: Int, height: Int, width: Int
    ) -> (height: Int, width: Int) {
        let (short, long) = (Double(min(height, width)), Double(max(height, width)))
        let exceeds = long / short * Double(shortest) > Double(longest)
        let exact = exceeds ? Double(longest) * short / long : Double(shortest)
        let edge = Int(exact.rounded(.toNearestOrEven))
        if min(height, width) == edge { return (height, width) }
        let longer =
            exceeds
            ? Int(exact * long / short) : scaled(edge, max(height, width), min(height, width))
        return width < height ? (longer, edge) : (edge, longer)
    }

    /// `int(a * b / c)` of Python for whole numbers: true division, then truncation.
    private func scaled(_ a: Int, _ b: Int, _ c: Int) -> Int {
        let (product, overflow) = a.multipliedReportingOverflow(by: b)
        guard !overflow else { return .max }
        return Int(exactly: (Double(product) / Double(c)).rounded(.towardZero)) ?? .max
    }

    private func rounded(_ side: Int, _ ratio: Double) -> Int {
        Int(exactly: (Double(side) / ratio).rounded(.toNearestOrEven)) ?? .max
    }
}
