public import Encoders

/// Crop, resize, crop or pad, and normalise: up to one of each, in this order, described before any
/// weight is computed.
///
/// ``ResampleMap`` does all of them in one pass. Each step is a `Resampling` of its own as well, so that
/// what a description means is the composition of its steps' maps.
public struct Resampling: Sendable, Hashable {
    public let input: ImageShape
    var rows: Axis
    var columns: Axis
    var filter = ResizeFilter.interpolation(.nearest)
    /// What the second crop finds outside the image, before the normalisation.
    var fill: Float = 0
    /// Output = gain · resampled + bias, per channel; `nil` for the values as they are.
    var normalization: Normalization?

    struct Normalization: Sendable, Hashable {
        let gain: [Float]
        let bias: [Float]
    }

    /// One direction.
    struct Axis: Sendable, Hashable {
        /// Samples of the image.
        let input: Int
        /// What is resized; outside the image there are zeros.
        var source: Range<Int>
        /// Samples after the resize.
        var resized: Int
        /// The resized sample that becomes output 0; negative where padding precedes the image.
        var offset = 0
        var output: Int

        init(_ input: Int) {
            self.input = input
            source = 0..<input
            resized = input
            output = input
        }
    }

    /// Nothing, to images of this size.
    public init(_ input: ImageShape) {
        precondition(input.channels > 0 && input.height > 0 && input.width > 0, "an empty image")
        self.input = input
        rows = Axis(input.height)
        columns = Axis(input.width)
    }

    public var output: ImageShape {
        ImageShape(channels: input.channels, height: rows.output, width: columns.output)
    }

    /// Cuts a box out of what there is so far. Before a resize the box may reach beyond the image, where
    /// there are zeros; behind one, where there is `fill`.
    ///
    /// At most one crop before the resize, and one behind it.
    public func crop(
        top: Int, left: Int, height: Int, width: Int, fill: Float = 0
    ) -> Resampling {
        precondition(height > 0 && width > 0, "an empty crop")
        precondition(normalization == nil, "a crop comes before the normalisation")
        var result = self
        if isResized {
            precondition(
                rows.output == rows.resized && columns.output == columns.resized
                    && rows.offset == 0 && columns.offset == 0, "a second crop behind the resize")
            (result.rows.offset, result.columns.offset) = (top, left)
            result.fill = fill
        } else {
            precondition(
                rows.source == 0..<rows.input && columns.source == 0..<columns.input,
                "a second crop before the resize")
            precondition(fill == 0, "outside the image there are zeros before a resize")
            result.rows.source = top..<top + height
            result.columns.source = left..<left + width
            (result.rows.resized, result.columns.resized) = (height, width)
        }
        (result.rows.output, result.columns.output) = (height, width)
        return result
    }

    /// Resizes what there is so far. A side that does not change keeps its values.
    public func resize(height: Int, width: Int, _ filter: ResizeFilter) -> Resampling {
        precondition(height > 0 && width > 0, "resized to nothing")
        precondition(!isResized && normalization == nil, "one resize, before the normalisation")
        var result = self
        result.isResized = true
        result.filter = filter
        (result.rows.resized, result.columns.resized) = (height, width)
        (result.rows.output, result.columns.output) = (height, width)
        return result
    }

    private var isResized = false

    /// gain · x + bias, per channel.
    public func normalize(gain: [Float], bias: [Float]) -> Resampling {
        precondition(
            gain.count == input.channels && bias.count == input.channels, "a value a channel")
        precondition(normalization == nil, "one normalisation")
        var result = self
        result.normalization = Normalization(gain: gain, bias: bias)
        return result
    }
}

/// How samples become more or fewer.
public enum ResizeFilter: Sendable, Hashable {
    /// Pillow's filters, which widen with the ratio when they shrink (antialiased); torch's
    /// `interpolate(antialias=True, align_corners=False)` has the same weights.
    case interpolation(Interpolation)
    /// The mean over ⌊i·n/m⌋ ..< ⌈(i+1)·n/m⌉ of n samples for each i of m: torch's
    /// `adaptive_avg_pool2d`.
    case area
}
