import Encoders

/// Makes the towers of one model, in every precision asked for: text towers first, because they are
/// smaller and conditioning needs no others.
struct ModelLoader: Sendable {
    private struct Encoder: Sendable {
        let source: CheckpointTower
        let contents: CheckpointContents
        let builder: CLIPModelBuilder
    }

    private let name: String
    private let encoders: [Encoder]
    private let recipe: String?
    /// The model in every precision, without towers.
    let identified: [LoadedModel]

    /// Finds out what the model is.
    ///
    /// - Parameters:
    ///   - parts: at least one; each role once over all.
    ///   - options: one for each precision, at least one.
    /// - Throws: `EncoderError` naming the file, field or tensor that is missing or wrong.
    init(
        name: String, parts: [LoadedModel.Part], options: [ComputeOptions]
    ) throws(EncoderError) {
        var encoders: [Encoder] = []
        for part in parts {
            let sources = part.contents.towers.filter { part.role == nil || $0.role == part.role }
            guard !sources.isEmpty else {
                let known = part.contents.towers.map(\.role.rawValue).joined(separator: ", ")
                throw .unsupported(
                    what: "the encoder of \(part.contents.path)", expected: "one of \(known)",
                    actual: part.role?.rawValue ?? "none")
            }
            for source in sources {
                guard !encoders.contains(where: { $0.source.role == source.role }) else {
                    throw .unsupported(
                        what: "the files of model \(name)", expected: "each encoder once",
                        actual: "two \(source.role.rawValue)")
                }
                encoders.append(
                    Encoder(
                        source: source, contents: part.contents,
                        builder: try CLIPModelBuilder(
                            source, path: source.path, variants: options)))
            }
        }
        let recipe =
            parts.count == 1
            ? LoadedModel.recipe(of: parts[0].contents)
            : LoadedModel.recipe(ofRoles: encoders.map(\.source.role))
        self.name = name
        self.encoders = encoders
        self.recipe = recipe
        identified = options.indices.map { variant in
            ModelLoader.model(
                name, encoders, encoders.map { $0.builder.identified[variant] }, recipe)
        }
    }

    /// Makes the towers; the weights of each are read once for all precisions.
    ///
    /// - Parameters:
    ///   - isStopped: asked before each tower is read; nothing more is made once it is true.
    ///   - made: is handed the number of a precision, the model, and the side that it has got.
    /// - Throws: `EncoderError` naming the tensor whose values cannot be used.
    func load(
        isStopped: () -> Bool, made: (Int, LoadedModel, TowerKinds) -> Void
    ) throws(EncoderError) {
        // [encoder][precision].
        var models = encoders.map(\.builder.identified)
        for kind in [TowerKinds.text, .image] {
            let own = encoders.indices.filter { encoders[$0].source.kinds.contains(kind) }
            for index in own {
                if isStopped() { return }
                let take = { (variant: Int, model: CLIPModel) in
                    models[index][variant] = model
                    // A pipeline's text side is there when its last text tower is.
                    guard index == own.last else { return }
                    made(
                        variant,
                        ModelLoader.model(name, encoders, models.map { $0[variant] }, recipe), kind)
                }
                let builder = encoders[index].builder
                if kind == .text {
                    try builder.addText(to: models[index], made: take)
                } else {
                    try builder.addVision(to: models[index], made: take)
                }
            }
        }
    }

    private static func model(
        _ name: String, _ encoders: [Encoder], _ models: [CLIPModel], _ recipe: String?
    ) -> LoadedModel {
        LoadedModel(
            name: name,
            towers: zip(encoders, models).map { encoder, model in
                LoadedModel.Tower(
                    model, source: encoder.builder.source, contents: encoder.contents)
            }, recipe: recipe)
    }
}

extension CheckpointTower {
    fileprivate var kinds: TowerKinds {
        var kinds: TowerKinds = []
        if configuration.text != nil { kinds.insert(.text) }
        if configuration.vision != nil { kinds.insert(.image) }
        return kinds
    }
}
