import Encoders
import Guidance
import IPC
import JSON

/// `condition_image`: what image-conditioned samplers take.
///
/// `unclip`, `ip-adapter`: `image_embeddings` [N, D] and zeros against them. `ip-adapter-plus`:
/// `hidden_states` [N, T, W], and against them those of an image whose preprocessed pixels are 0.
/// With `mix`, one row: the images' and then the prompts' embeddings times their weights.
enum ConditionImageOperation: Operation {
    static let name = "condition_image"
    static let needs: TowerKinds = [.text, .image]

    private typealias Values = Slots<Result<[Float], WireFault>>

    static func plan(_ context: inout OperationContext) throws(WireFault) -> WorkPlan {
        let datatype = try context.outputDatatype()
        let recipe = try recipe(&context)
        if recipe.takesHiddenStates { try context.model.requireHiddenStates() }
        let mix = try context.params.bool("mix", default: false)
        let weights = try context.params.numbers("weights", limit: context.limits.images)
        let side = try ImageSide(context.model)
        if !recipe.takesHiddenStates, side.tower.sizes.projection == nil {
            throw .parameter(
                "recipe", expected: "one that model \"\(context.model.name)\" can serve",
                actual: "\"\(recipe.rawValue)\", which needs an image projection")
        }
        if recipe.takesHiddenStates, side.tower.options.precision == .int8 {
            throw .parameter(
                "precision", expected: "f32 or bf16 for \(recipe.rawValue)", actual: "int8")
        }
        let texts = try texts(&context, mix: mix, side: side)
        let textCount = texts?.texts.count ?? 0
        let images: RequestImages? =
            context.inputs.isEmpty && textCount > 0
            ? nil : try RequestImages(context.inputs, limit: context.limits.images)
        let count = images?.count ?? 0
        if mix, recipe.takesHiddenStates {
            throw .parameter(
                "mix", expected: "false with \(recipe.rawValue): hidden states have no mean",
                actual: "true")
        }
        if !mix, weights != nil {
            throw .parameter("weights", expected: "none without mix", actual: "weights")
        }
        if let weights, weights.count != count + textCount {
            throw .parameter(
                "weights", expected: "\(count + textCount), one an image and then one a prompt",
                actual: "\(weights.count)")
        }
        let model = context.model
        let warnings = context.params.unknownParameterWarnings
        let values = Values(count: count)
        let against = Values(count: recipe.takesHiddenStates ? 1 : 0)
        var stages = texts.map { [$0.stage] } ?? []
        if let images {
            stages.append(
                WorkPlan.Stage(
                    itemCount: count, bytes: { images.preparationBytes($0, asFloats: false) }
                ) { item, worker in
                    do throws(WireFault) {
                        values[item] = .success(
                            try encode(
                                try pixels(images, item, side, worker), recipe, side, worker))
                    } catch {
                        values[item] = .failure(error)
                    }
                })
        }
        if recipe.takesHiddenStates {
            stages.append(
                WorkPlan.Stage(itemCount: 1) { _, worker in
                    let size = side.tower.sizes.imageSize
                    let nothing = [Float](repeating: 0, count: 3 * size * size)
                    do throws(WireFault) {
                        against[0] = .success(try encode(nothing, recipe, side, worker))
                    } catch {
                        against[0] = .failure(error)
                    }
                })
        }
        return WorkPlan(stages: stages) { () throws(WireFault) in
            var outcome = Outcome(
                model: model, result: ["recipe": .string(recipe.rawValue)],
                warnings: warnings + (texts?.truncationWarnings ?? []) + (images?.warnings ?? []))
            if mix {
                outcome.outputs = [
                    try mixed(values, texts, weights, datatype, width: side.tower.embeddingWidth)
                ]
                outcome.result["mix"] = true
                return outcome
            }
            let name = recipe.takesHiddenStates ? "hidden_states" : "image_embeddings"
            let rows = ItemRows(values.all, datatype, named: name)
            outcome.items = rows.faults
            if recipe.takesHiddenStates {
                guard let zeros = try against[0]?.get() else {
                    throw WireFault(.internal, "the image of zeros was not encoded")
                }
                let shape = [side.tower.sizes.tokens, side.tower.sizes.width]
                outcome.outputs = [
                    try rows.output(name, shape, datatype),
                    try Output(
                        name: "negative_" + name, shape: [count] + shape,
                        values: (0..<count).flatMap { _ in zeros }, datatype: datatype),
                ]
            } else {
                let width = side.tower.embeddingWidth
                let zeros = [Float](repeating: 0, count: width)
                outcome.outputs = [
                    try rows.output(name, [width], datatype),
                    try Output(
                        name: "negative_" + name, shape: [count, width],
                        values: (0..<count).flatMap { _ in zeros }, datatype: datatype),
                ]
            }
            return outcome
        }
    }

    static func replyBytes(_ facts: RequestFacts) -> Int {
        guard let vision = facts.model.imageTower?.model.configuration.vision else { return 0 }
        let recipe = facts.params["recipe"]?.stringValue.flatMap(ImageRecipe.init) ?? .unclip
        let size = recipe.takesHiddenStates ? vision.tokens * vision.width : vision.embeddingWidth
        return 2 * facts.imageCount * size * facts.numberSize
    }

    private static func recipe(_ context: inout OperationContext) throws(WireFault) -> ImageRecipe {
        guard let name = try context.params.string("recipe") else { return .unclip }
        guard let recipe = ImageRecipe(rawValue: name) else {
            let names = ImageRecipe.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
            let hint = ConditioningRecipe.named(name) == nil ? "" : ", which is condition's"
            throw .parameter(
                "recipe", expected: "one of \(names)", actual: "\"\(name.prefix(100))\"\(hint)")
        }
        return recipe
    }

    /// The prompts of a mix.
    private static func texts(
        _ context: inout OperationContext, mix: Bool, side: ImageSide
    ) throws(WireFault) -> TextStage? {
        let overflow = try context.params.choice("long_prompts", default: Overflow.error)
        guard let prompts = try context.params.strings("prompts", limit: context.limits.texts)
        else { return nil }
        guard mix else {
            throw .parameter("prompts", expected: "none without mix", actual: "prompts")
        }
        let stage = try TextStage(
            texts: prompts, field: "prompts", overflow: overflow, context: context)
        guard stage.tower.embeddingWidth == side.tower.embeddingWidth else {
            throw .parameter(
                "prompts",
                expected: "a text tower \(side.tower.embeddingWidth) wide, as the images are",
                actual: "\(stage.tower.embeddingWidth)")
        }
        return stage
    }

    private static func pixels(
        _ images: RequestImages, _ item: Int, _ side: ImageSide, _ worker: Worker
    ) throws(WireFault) -> [Float] {
        let image = try images.load(item)
        do throws(EncoderError) {
            switch image {
            case .decoded(let image): return try side.preprocessing.pixels(image)
            case .floats(let floats, let height, let width):
                return try worker.preprocessing(for: side, height: height, width: width)
                    .forward(floats)
            }
        } catch {
            throw WireFault(error)
        }
    }

    private static func encode(
        _ pixels: [Float], _ recipe: ImageRecipe, _ side: ImageSide, _ worker: Worker
    ) throws(WireFault) -> [Float] {
        do throws(EncoderError) {
            let workspace = worker.workspace(for: side.tower)
            guard recipe.takesHiddenStates else {
                let embedding = try side.tower.embed(pixels, workspace: workspace)
                try ResultCheck.embedding(embedding, from: .image)
                return embedding
            }
            let wanted = try side.tower.hiddenStates(
                [pixels], after: max(side.tower.sizes.layers - 1, 0), workspace: workspace)[0]
            try ResultCheck.finite(wanted, from: .image, named: "hidden states")
            return wanted
        } catch {
            throw WireFault(error)
        }
    }

    /// Σ wᵢ·eᵢ over the images and then the prompts; without weights, their mean. A mix needs all of
    /// its pieces, so a bad image fails the request.
    private static func mixed(
        _ values: Values, _ texts: TextStage?, _ weights: [Double]?, _ datatype: OutputDatatype,
        width: Int
    ) throws(WireFault) -> Output {
        var rows: [[Float]] = []
        for (index, slot) in values.all.enumerated() {
            guard let slot else { throw WireFault(.internal, "an image was not encoded") }
            switch slot {
            case .success(let row): rows.append(row)
            case .failure(var fault):
                fault.field = fault.field ?? "inputs, image \(index)"
                throw fault
            }
        }
        if let texts { rows += try texts.embeddings() }
        let weights = weights ?? rows.map { _ in 1 / Double(rows.count) }
        var sum = [Double](repeating: 0, count: width)
        for (row, weight) in zip(rows, weights) {
            for index in 0..<width { sum[index] += weight * Double(row[index]) }
        }
        let mixed = sum.map { Float($0) }
        // Against the pieces: what is left where they cancel is rounding.
        let pieces = zip(rows, weights).reduce(0) { $0 + abs($1.1) * Embedding.norm($1.0) }
        guard mixed.allSatisfy(\.isFinite), Embedding.norm(mixed) > 1e-6 * pieces else {
            throw .parameter(
                "weights", expected: "weights with which the embeddings do not cancel",
                actual: "a mix of length \(Embedding.norm(mixed))")
        }
        return try Output(
            name: "image_embeddings", shape: [1, width], values: mixed, datatype: datatype)
    }
}
