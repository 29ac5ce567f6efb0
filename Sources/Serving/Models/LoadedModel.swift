package import Encoders
package import Guidance
package import JSON

/// A model under the name that requests use: one CLIP model, or the encoders of a pipeline.
///
/// While it is being loaded some or all of its towers are still missing; what it says of itself is the
/// same from the beginning.
package final class LoadedModel: Sendable {
    /// One encoder of a pipeline, or the whole of a CLIP model.
    package struct Tower: Sendable {
        package let role: EncoderRole
        package let model: CLIPModel
        /// How its text side is used for conditioning; `nil` without a text tower or a tokenizer, and
        /// while the tower is still to be made.
        package let encoder: TextEncoder?
        /// Where its weights can be read again, to change them.
        package let source: CheckpointTower
        /// Whether rows are filled up with the tokenizer's own padding token.
        fileprivate let usesTokenizerPadding: Bool

        init(_ model: CLIPModel, source: CheckpointTower, contents: CheckpointContents) {
            role = source.role
            self.model = model
            self.source = source
            let isPipeline = contents.format == .diffusers
            usesTokenizerPadding = isPipeline
            if let tower = model.text, let tokenizer = model.tokenizer {
                encoder = TextEncoder(
                    tower: tower, tokenizer: tokenizer.expandingWords(),
                    isTrimmed: isPipeline && tower.sizes.layers != LoadedModel.layersOfH,
                    usesTokenizerPadding: isPipeline)
            } else {
                encoder = nil
            }
        }

        /// The sizes of what conditions; `nil` without a text tower or a tokenizer.
        fileprivate var conditioning: TextTowerSizes? {
            model.tokenizer == nil ? nil : model.textSizes
        }
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

    /// - Parameter towers: at least one.
    init(name: String, towers: [Tower], recipe: String?) {
        let first = towers[0]
        self.name = name
        self.towers = towers
        ownRecipe = recipe
        model = first.model
        if towers.count == 1 {
            fingerprint = first.model.fingerprint
        } else {
            let digest = ContentDigest()
            for tower in towers {
                digest.update("\(tower.role.rawValue) \(tower.model.fingerprint)\n")
            }
            fingerprint = digest.hexDigest()
        }
    }

    /// OpenCLIP's ViT-H/14 as it was trained; pipelines store 23 of its blocks.
    private static let layersOfH = 24

    /// The sides that the model has once it is loaded.
    package var kinds: TowerKinds {
        var kinds: TowerKinds = []
        for tower in towers {
            if tower.model.textSizes != nil { kinds.insert(.text) }
            if tower.model.imageSizes != nil { kinds.insert(.image) }
        }
        return kinds
    }

    /// In which numbers the towers multiply.
    package var precision: Precision { model.options.precision }

    /// Memory that the weights take.
    package var bytes: Int { towers.reduce(0) { $0 + $1.model.bytes } }

    /// The tower with an image side: a pipeline's image encoder, or the model itself.
    package var imageTower: Tower? { towers.first { $0.model.imageSizes != nil } }

    /// What a pipeline's checkpoint is conditioned by.
    static func recipe(of contents: CheckpointContents) -> String? {
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

    static func recipe(ofRoles roles: [EncoderRole]) -> String? {
        if roles.contains(.clipG) { return roles.contains(.clipL) ? "sdxl" : "sdxl-refiner" }
        return roles.contains(.clipH) ? "sd2" : roles.contains(.clipL) ? "sd1" : nil
    }

    /// Every recipe that the text towers can serve: the checkpoint's own, then the others in the
    /// table's order.
    package var recipes: [ConditioningRecipe] {
        let served = ConditioningRecipe.table.filter { (try? towers(for: $0)) != nil }
        return served.filter { $0.name == ownRecipe } + served.filter { $0.name != ownRecipe }
    }

    /// The image recipes that the model can serve.
    package var imageRecipes: [ImageRecipe] {
        guard let image = imageTower?.model.imageSizes else { return [] }
        return ImageRecipe.allCases.filter {
            $0.takesHiddenStates || image.projection != nil
        }
    }

    /// The towers that a recipe's encoders are, in the recipe's order. To be called when the text
    /// towers have been made.
    ///
    /// - Throws: `GuidanceError.parameter` naming what the model lacks.
    package func encoders(
        for recipe: ConditioningRecipe
    ) throws(GuidanceError) -> [(tower: Tower, encoder: TextEncoder)] {
        try towers(for: recipe).map { tower in
            guard let encoder = tower.encoder else {
                preconditionFailure("conditioning waits for the text towers")
            }
            return (tower, encoder)
        }
    }

    private func towers(
        for recipe: ConditioningRecipe
    ) throws(GuidanceError) -> [Tower] {
        var found: [Tower] = []
        for wanted in recipe.encoders {
            let tower = wanted.roles.lazy.compactMap { role in
                self.towers.first { $0.role == role && $0.conditioning != nil }
            }.first
            guard let tower, let sizes = tower.conditioning else {
                let roles = wanted.roles.map(\.rawValue).joined(separator: " or ")
                let own = towers.filter { $0.conditioning != nil }.map(\.role.rawValue)
                throw .parameter(
                    field: "recipe",
                    expected: "one that model \"\(name)\" can serve (\(recipe.name) needs "
                        + "\(roles) with a tokenizer)",
                    actual: own.isEmpty ? noEncoder : own.joined(separator: ", "))
            }
            if wanted.pooled == .projected, sizes.projection == nil {
                throw .parameter(
                    field: "recipe",
                    expected: "one that model \"\(name)\" can serve (\(recipe.name) needs a text "
                        + "projection of \(tower.role.rawValue))",
                    actual: "a tower without one")
            }
            if wanted.layer != .last, sizes.layers < 2 {
                throw .parameter(
                    field: "recipe",
                    expected: "one that model \"\(name)\" can serve (\(recipe.name) needs two "
                        + "blocks or more in \(tower.role.rawValue))",
                    actual: "\(sizes.layers)")
            }
            if case .id(let id) = wanted.padding, !tower.usesTokenizerPadding,
                id < 0 || id >= sizes.vocabularySize
            {
                throw .parameter(
                    field: "recipe", expected: "a vocabulary with the padding token \(id)",
                    actual: "\(sizes.vocabularySize) tokens")
            }
            found.append(tower)
        }
        return found
    }

    /// Memory of the weights that are held for gradients alone.
    package var gradientBytes: Int { model.image?.gradientWeightBytes ?? 0 }

    /// When the weights for gradients are made, and how much of them is there now; `nil` without an
    /// image tower.
    package var gradientState: JSONObject? {
        guard model.configuration.vision != nil else { return nil }
        let weights = model.options.hasGradients ? model.options.gradients : .off
        return [
            "weights": .string(weights.rawValue), "packed_bytes": .integer(gradientBytes),
        ]
    }

    private var noEncoder: String {
        let reasons = missingTokenizers
        return "no text encoder with a tokenizer"
            + (reasons.isEmpty ? "" : " (\(reasons.joined(separator: "; ")))")
    }

    /// Why text towers have no tokenizer, for those that have none.
    package var missingTokenizers: [String] {
        towers.compactMap { tower in
            tower.model.missingTokenizer.map { "\(tower.role.rawValue): \($0)" }
        }
    }

    /// The entry of this model in the reply to `models`.
    package var description: JSONObject {
        var object: JSONObject = [
            "name": .string(name), "fingerprint": .string(fingerprint),
            "precision": .string(precision.rawValue),
            "logit_scale": .number(Double(model.logitScale)),
        ]
        if let text = model.textSizes { object["text"] = .object(text.json) }
        if let image = model.imageSizes { object["vision"] = .object(image.json) }
        object["image_profile"] = (imageTower?.model.preprocessing).map {
            .string($0.profile.rawValue)
        }
        object["towers"] = .array(
            towers.map { tower in
                var entry: JSONObject = [
                    "role": .string(tower.role.rawValue),
                    "fingerprint": .string(tower.model.fingerprint),
                ]
                if let text = tower.model.textSizes { entry["text"] = .object(text.json) }
                if let image = tower.model.imageSizes {
                    entry["vision"] = .object(image.json)
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
            if let image = tower.model.imageSizes {
                parts.append(
                    "\(role)image \(image.imageSize) px, patch \(image.patchSize), "
                        + "\(image.layers) × \(image.width)")
            }
            if let text = tower.model.textSizes {
                parts.append(
                    "\(role)text \(text.contextLength) tokens, \(text.layers) × \(text.width)")
            }
        }
        return parts.joined(separator: "; ") + "; fingerprint \(fingerprint.prefix(12))"
    }
}

extension TextTowerSizes {
    fileprivate var json: JSONObject {
        [
            "embedding_width": .integer(embeddingWidth), "width": .integer(width),
            "layers": .integer(layers), "heads": .integer(heads),
            "context_length": .integer(contextLength),
            "vocabulary_size": .integer(vocabularySize),
        ]
    }
}

extension ImageTowerSizes {
    fileprivate var json: JSONObject {
        [
            "embedding_width": .integer(embeddingWidth), "width": .integer(width),
            "layers": .integer(layers), "heads": .integer(heads),
            "image_size": .integer(imageSize), "patch_size": .integer(patchSize),
        ]
    }
}
