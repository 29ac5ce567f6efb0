/// Configurations of towers whose file has none: sizes from the shapes of their tensors.
///
/// Heads are 64 wide, as in every CLIP text tower that OpenAI and LAION trained, and in OpenAI's
/// image towers (`build_model` in OpenAI's `model.py`). LAION's large image towers have wider ones
/// (`head_width` in open_clip's `model_configs`).
enum InferredSizes {
    private static let headWidth = 64
    /// `head_width` of ViT-H-14, ViT-g-14 and ViT-bigG-14 by the width of the image tower.
    private static let wideHeads = [1_280: 80, 1_408: 88, 1_664: 104]

    /// - Parameters:
    ///   - padToken: `nil` for the end token.
    ///   - stated: how many heads there are, where the file says it.
    /// - Throws: `EncoderError.tensor` or `.unsupported` naming the tensor whose shape is no tower's.
    static func text(
        _ source: any TensorSource, layout: CheckpointLayout, activation: Activation,
        padToken: Int32?, heads stated: Int? = nil
    ) throws(EncoderError) -> TextConfiguration {
        let names = TextTensorNames.find(layout, in: source)
        let tokens = try matrix(source, names.tokenEmbedding, "[vocabulary, width]")
        let positions = try matrix(source, names.positionEmbedding, "[positions, width]")
        let width = try range(
            tokens.1, ConfigurationLimits.width, source, names.tokenEmbedding, "width")
        let vocabulary = try range(
            tokens.0, ConfigurationLimits.vocabulary, source, names.tokenEmbedding, "vocabulary")
        let context = try range(
            positions.0, ConfigurationLimits.context, source, names.positionEmbedding, "context")
        let layers = try layers(source, names.layer)
        var projection: Int?
        if source.shape(of: names.projection.name) != nil {
            let stored = try matrix(source, names.projection.name, "a matrix")
            projection = try range(
                names.projection.isTransposed ? stored.1 : stored.0, ConfigurationLimits.width,
                source, names.projection.name, "width")
        }
        let end = Int32(vocabulary - 1)
        return TextConfiguration(
            vocabularySize: vocabulary, width: width, layers: layers.count,
            heads: try heads(width, of: headWidth, stated, source, names.tokenEmbedding),
            mlpWidth: layers.mlpWidth, contextLength: context, activation: activation, eps: 1e-5,
            // CLIP's vocabularies end in the start and the end token.
            pooling: .firstEnd, startToken: end - 1, endToken: end, padToken: padToken ?? end,
            projection: projection)
    }

    /// - Parameter stated: how many heads there are, where the file says it.
    /// - Throws: `EncoderError.tensor` or `.unsupported` naming the tensor whose shape is no tower's.
    static func vision(
        _ source: any TensorSource, layout: CheckpointLayout, activation: Activation,
        heads stated: Int? = nil
    ) throws(EncoderError) -> VisionConfiguration {
        let names = VisionTensorNames.find(layout, in: source)
        let shape = source.shape(of: names.patchEmbedding) ?? []
        guard shape.count == 4, shape[1] == 3, shape[2] == shape[3] else {
            throw .tensor(
                path: source.path, name: names.patchEmbedding,
                expected: "shape [width, 3, patch, patch]", actual: "shape \(shape)")
        }
        let width = try range(
            shape[0], ConfigurationLimits.width, source, names.patchEmbedding, "width")
        let patch = try range(
            shape[2], ConfigurationLimits.image, source, names.patchEmbedding, "patch")
        let positions = try matrix(source, names.positionEmbedding, "[tokens, width]")
        let tokens = try range(
            positions.0, ConfigurationLimits.tokens, source, names.positionEmbedding, "tokens")
        let grid = Int(Double(tokens - 1).squareRoot())
        guard grid * grid == tokens - 1,
            ConfigurationLimits.image.contains(grid.multipliedReportingOverflow(by: patch).0)
        else {
            throw .tensor(
                path: source.path, name: names.positionEmbedding,
                expected: "a square of patches and one more token", actual: "\(tokens) tokens")
        }
        let layers = try layers(source, names.layer)
        var projection: Int?
        if source.shape(of: names.projection.name) != nil {
            let stored = try matrix(source, names.projection.name, "a matrix")
            projection = try range(
                names.projection.isTransposed ? stored.1 : stored.0, ConfigurationLimits.width,
                source, names.projection.name, "width")
        }
        return VisionConfiguration(
            width: width, layers: layers.count,
            heads: try heads(
                width, of: wideHeads[width] ?? headWidth, stated, source, names.patchEmbedding),
            mlpWidth: layers.mlpWidth, patchSize: patch, imageSize: grid * patch,
            activation: activation, eps: 1e-5, projection: projection)
    }

    // MARK: shapes

    private static func layers(
        _ source: any TensorSource, _ names: (Int) -> LayerTensorNames
    ) throws(EncoderError) -> (count: Int, mlpWidth: Int) {
        var count = 0
        while count < ConfigurationLimits.layers.upperBound,
            source.shape(of: names(count).attentionNorm + ".weight") != nil
        { count += 1 }
        let first = names(0).fc1 + ".weight"
        let mlp = try matrix(source, first, "[MLP width, width]")
        return (
            max(1, count),
            try range(mlp.0, ConfigurationLimits.mlpWidth, source, first, "MLP width")
        )
    }

    private static func heads(
        _ width: Int, of headWidth: Int, _ stated: Int?, _ source: any TensorSource,
        _ name: String
    ) throws(EncoderError) -> Int {
        if let stated {
            guard width.isMultiple(of: stated) else {
                throw .tensor(
                    path: source.path, name: name, expected: "a width of \(stated) heads",
                    actual: "\(width)")
            }
            return stated
        }
        guard width.isMultiple(of: headWidth),
            ConfigurationLimits.heads.contains(width / headWidth)
        else {
            throw .unsupported(
                what: "\(source.path), tensor \"\(name)\"",
                expected: "a width that is a multiple of \(headWidth), the width of a head",
                actual: "\(width); a model with other heads needs its configuration file")
        }
        return width / headWidth
    }

    private static func matrix(
        _ source: any TensorSource, _ name: String, _ expected: String
    ) throws(EncoderError) -> (Int, Int) {
        guard let shape = source.shape(of: name) else {
            throw .tensor(
                path: source.path, name: name, expected: "shape \(expected)",
                actual: "no such tensor")
        }
        guard shape.count == 2 else {
            throw .tensor(
                path: source.path, name: name, expected: "shape \(expected)",
                actual: "shape \(shape)")
        }
        return (shape[0], shape[1])
    }

    private static func range(
        _ value: Int, _ range: ClosedRange<Int>, _ source: any TensorSource, _ name: String,
        _ what: String
    ) throws(EncoderError) -> Int {
        guard range.contains(value) else {
            throw .tensor(
                path: source.path, name: name,
                expected: "a \(what) from \(range.lowerBound) to \(range.upperBound)",
                actual: "\(value)")
        }
        return value
    }
}
