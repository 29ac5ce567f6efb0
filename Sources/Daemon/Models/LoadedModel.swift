package import Encoders
package import Guidance
package import JSON

/// A model under the name that requests use: one CLIP model, or the encoders of a pipeline.
package final class LoadedModel: Sendable {
    /// One encoder of a pipeline, or the whole of a CLIP model.
    package struct Tower: Sendable {
        package let role: EncoderRole
        package let model: CLIPModel
        /// How its text side is used for conditioning; `nil` without a text tower or a tokenizer.
        package let encoder: TextEncoder?
        /// Where its weights can be read again, to change them; `nil` for a model given ready-made.
        package let source: CheckpointTower?
    }

    package let name: String
    /// At least one, each role once.
    package let towers: [Tower]
    /// What embeds texts and images: the only tower, or the first of a pipeline.
    package let model: CLIPModel
    /// Equal fingerprints mean equal results.
    package let fingerprint: String
    /// The recipe that the checkpoint was made for; `nil` for a CLIP model.
    private let ownRecipe: String?

    /// A single model.
    package init(name: String, model: CLIPModel) {
        self.name = name
        self.model = model
        towers = [
            Tower(
                role: .clip, model: model, encoder: LoadedModel.encoder(model, nil), source: nil)
        ]
        fingerprint = model.fingerprint
        ownRecipe = nil
    }

    /// A checkpoint that a model is made of.
    package struct Part: Sendable {
        package let contents: CheckpointContents
        /// The only encoder to take of it; all when it is `nil`.
        package let role: EncoderRole?

        package init(_ contents: CheckpointContents, only role: EncoderRole? = nil) {
            self.contents = contents
            self.role = role
        }
    }

    /// Loads the encoders of one checkpoint or several, once for all the ways in which their weights
    /// are to be held.
    ///
    /// - Parameters:
    ///   - parts: at least one; each role once over all.
    ///   - options: one for each model that is returned, at least one.
    /// - Throws: `EncoderError` naming the file, field or tensor that is missing or wrong.
    package static func load(
        name: String, parts: [Part], options: [ComputeOptions]
    ) throws(EncoderError) -> [LoadedModel] {
        var variants = options.map { _ in [Tower]() }
        var roles: [EncoderRole] = []
        for part in parts {
            let sources = part.contents.towers.filter { part.role == nil || $0.role == part.role }
            guard !sources.isEmpty else {
                let known = part.contents.towers.map(\.role.rawValue).joined(separator: ", ")
                throw .unsupported(
                    what: "the encoder of \(part.contents.path)", expected: "one of \(known)",
                    actual: part.role?.rawValue ?? "none")
            }
            for source in sources {
                guard !roles.contains(source.role) else {
                    throw .unsupported(
                        what: "the files of model \(name)", expected: "each encoder once",
                        actual: "two \(source.role.rawValue)")
                }
                roles.append(source.role)
                let models = try CLIPModel.load(source, variants: options)
                for (index, model) in models.enumerated() {
                    variants[index].append(
                        Tower(
                            role: source.role, model: model,
                            encoder: LoadedModel.encoder(model, part.contents), source: source))
                }
            }
        }
        let own = parts.count == 1 ? recipe(of: parts[0].contents) : recipe(ofRoles: roles)
        return variants.map { towers in
            LoadedModel(name: name, towers: towers, first: towers[0], recipe: own)
        }
    }

    private init(name: String, towers: [Tower], first: Tower, recipe: String?) {
        self.name = name
        self.towers = towers
        ownRecipe = recipe
        model = first.model
        if towers.count == 1 {
            fingerprint = first.model.fingerprint
        } else {
            var digest = SHA256()
            for tower in towers {
                digest.update("\(tower.role.rawValue) \(tower.model.fingerprint)\n")
            }
            fingerprint = digest.hexDigest()
        }
    }

    private static func encoder(
        _ model: CLIPModel, _ contents: CheckpointContents?
    ) -> TextEncoder? {
        guard let tower = model.text, let tokenizer = model.tokenizer else { return nil }
        let isPipeline = contents?.format == .diffusers
        return TextEncoder(
            tower: tower, tokenizer: tokenizer,
            isTrimmed: isPipeline && tower.configuration.layers != LoadedModel.layersOfH,
            usesTokenizerPadding: isPipeline)
    }

    /// OpenCLIP's ViT-H/14 as it was trained; pipelines store 23 of its blocks.
    private static let layersOfH = 24

    /// In which numbers the towers multiply.
    package var precision: Precision { model.options.precision }

    /// Memory that the weights take.
    package var bytes: Int { towers.reduce(0) { $0 + $1.model.bytes } }

    /// The tower with an image side: a pipeline's image encoder, or the model itself.
    package var imageTower: Tower? { towers.first { $0.model.vision != nil } }

    /// What a pipeline's checkpoint is conditioned by.
    private static func recipe(of contents: CheckpointContents) -> String? {
        switch contents.format {
        case .sd1: return "sd1"
        case .sd2: return "sd2"
        case .sdxl: return "sdxl"
        case .sdxlRefiner: return "sdxl-refiner"
        case .sd3: return "sd3-clip"
        case .flux: return "flux-clip"
        default: break
        }
        let pipeline = contents.pipeline ?? ""
        if pipeline.hasPrefix("Flux") { return "flux-clip" }
        if pipeline.hasPrefix("StableDiffusion3") { return "sd3-clip" }
        return recipe(ofRoles: contents.towers.map(\.role))
    }

    private static func recipe(ofRoles roles: [EncoderRole]) -> String? {
        if roles.contains(.clipG) { return roles.contains(.clipL) ? "sdxl" : "sdxl-refiner" }
        return roles.contains(.clipH) ? "sd2" : roles.contains(.clipL) ? "sd1" : nil
    }

    /// Every recipe that the text towers can serve: the checkpoint's own, then the others in the
    /// table's order.
    package var recipes: [ConditioningRecipe] {
        let served = ConditioningRecipe.table.filter { (try? encoders(for: $0)) != nil }
        return served.filter { $0.name == ownRecipe } + served.filter { $0.name != ownRecipe }
    }

    /// The image recipes that the model can serve.
    package var imageRecipes: [ImageRecipe] {
        guard let vision = imageTower?.model.vision else { return [] }
        return ImageRecipe.allCases.filter {
            $0.takesHiddenStates || vision.configuration.projection != nil
        }
    }

    /// The towers that a recipe's encoders are, in the recipe's order.
    ///
    /// - Throws: `GuidanceError.parameter` naming what the model lacks.
    package func encoders(
        for recipe: ConditioningRecipe
    ) throws(GuidanceError) -> [(tower: Tower, encoder: TextEncoder)] {
        var found: [(Tower, TextEncoder)] = []
        for wanted in recipe.encoders {
            let tower = wanted.roles.lazy.compactMap { role in
                self.towers.first { $0.role == role && $0.encoder != nil }
            }.first
            guard let tower, let encoder = tower.encoder else {
                let roles = wanted.roles.map(\.rawValue).joined(separator: " or ")
                let own = towers.filter { $0.encoder != nil }.map(\.role.rawValue)
                throw .parameter(
                    field: "recipe",
                    expected: "one that model \"\(name)\" can serve (\(recipe.name) needs "
                        + "\(roles) with a tokenizer)",
                    actual: own.isEmpty
                        ? "no text encoder with a tokenizer" : own.joined(separator: ", "))
            }
            if wanted.pooled == .projected, encoder.configuration.projection == nil {
                throw .parameter(
                    field: "recipe",
                    expected: "one that model \"\(name)\" can serve (\(recipe.name) needs a text "
                        + "projection of \(tower.role.rawValue))",
                    actual: "a tower without one")
            }
            if wanted.layer != .last, encoder.configuration.layers < 2 {
                throw .parameter(
                    field: "recipe",
                    expected: "one that model \"\(name)\" can serve (\(recipe.name) needs two "
                        + "blocks or more in \(tower.role.rawValue))",
                    actual: "\(encoder.configuration.layers)")
            }
            if case .id(let id) = wanted.padding, !encoder.usesTokenizerPadding,
                id < 0 || id >= encoder.configuration.vocabularySize
            {
                throw .parameter(
                    field: "recipe", expected: "a vocabulary with the padding token \(id)",
                    actual: "\(encoder.configuration.vocabularySize) tokens")
            }
            found.append((tower, encoder))
        }
        return found
    }

    /// The entry of this model in the reply to `models`.
    package var description: JSONObject {
        var object: JSONObject = [
            "name": .string(name), "fingerprint": .string(fingerprint),
            "precision": .string(precision.rawValue),
            "logit_scale": .number(Double(model.logitScale)),
        ]
        if let text = model.configuration.text { object["text"] = .object(text.sizes) }
        if let vision = model.configuration.vision { object["vision"] = .object(vision.sizes) }
        object["towers"] = .array(
            towers.map { tower in
                var entry: JSONObject = [
                    "role": .string(tower.role.rawValue),
                    "fingerprint": .string(tower.model.fingerprint),
                ]
                if let text = tower.model.configuration.text { entry["text"] = .object(text.sizes) }
                if let vision = tower.model.configuration.vision {
                    entry["vision"] = .object(vision.sizes)
                }
                return .object(entry)
            })
        object["recipes"] = .array(
            (recipes.map(\.name) + imageRecipes.map(\.rawValue)).map { .string($0) })
        return object
    }

    /// One line for the log: what towers it has and how large they are.
    var summary: String {
        var parts: [String] = []
        for tower in towers {
            let role = towers.count > 1 ? "\(tower.role.rawValue) " : ""
            if let vision = tower.model.configuration.vision {
                parts.append(
                    "\(role)image \(vision.imageSize) px, patch \(vision.patchSize), "
                        + "\(vision.layers) × \(vision.width)")
            }
            if let text = tower.model.configuration.text {
                parts.append(
                    "\(role)text \(text.contextLength) tokens, \(text.layers) × \(text.width)")
            }
        }
        return parts.joined(separator: "; ") + "; fingerprint \(fingerprint.prefix(12))"
    }
}

extension TextConfiguration {
    fileprivate var sizes: JSONObject {
        [
            "embedding_width": .integer(embeddingWidth), "width": .integer(width),
            "layers": .integer(layers), "heads": .integer(heads),
            "context_length": .integer(contextLength),
            "vocabulary_size": .integer(vocabularySize),
        ]
    }
}

extension VisionConfiguration {
    fileprivate var sizes: JSONObject {
        [
            "embedding_width": .integer(embeddingWidth), "width": .integer(width),
            "layers": .integer(layers), "heads": .integer(heads),
            "image_size": .integer(imageSize), "patch_size": .integer(patchSize),
        ]
    }
}
