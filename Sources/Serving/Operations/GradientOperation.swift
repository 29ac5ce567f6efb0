import Encoders
import Guidance
import IPC
import JSON

/// `gradient`: the gradient of a loss between images and weighted prompts with respect to each
/// image's pixels, at its own resolution.
enum GradientOperation: Operation {
    static let name = "gradient"
    static let needs: TowerKinds = [.text, .image]

    private struct Computed: Sendable {
        let loss: Float
        let score: Float
        /// Values of the gradient that become 0 in the reply's datatype, and all of them.
        let vanishing: Int
        let count: Int
    }

    /// An image on its way through the tower, and what it is compared with.
    private struct Source: Sendable {
        let image: PreparedImages.Ready
        let objective: PromptObjective
    }

    static func replyBytes(_ facts: RequestFacts) -> Int {
        (3 * facts.pixels + 2 * facts.imageCount) * facts.numberSize
    }

    static func plan(_ context: inout OperationContext) throws(WireFault) -> WorkPlan {
        let loss = try context.params.choice("loss", default: SteeringLoss.cosine)
        let pairwise = try context.params.bool("pairwise", default: false)
        let datatype = try context.outputDatatype()
        let prompts = try PromptSource(
            &context, field: "prompts", metric: .cosine, readsWeights: true)
        if pairwise, prompts.hasStatedWeights {
            throw .parameter(
                "weights", expected: "no weights with pairwise (each image has one prompt)",
                actual: "\(prompts.weights.count) weights")
        }
        let images = try RequestImages(context.inputs, limit: context.limits.images)
        if pairwise, prompts.count != images.count {
            throw .parameter(
                "prompts", expected: "\(images.count) prompts, one an image, with pairwise",
                actual: "\(prompts.count)")
        }
        let model = context.model
        let warnings = context.params.unknownParameterWarnings
        let side = try ImageSide(model)
        try side.tower.requireGradients()
        // Filled by a stage of one item between the texts and the images.
        let objectives = Slots<Result<[PromptObjective], WireFault>>(count: 1)
        let computed = Slots<Result<Computed, WireFault>>(count: images.count)
        let gradients = try GradientOutput(images, datatype)
        let sizes = Slots<(height: Int, width: Int)>(count: images.count)

        let combine = WorkPlan.Stage(itemCount: 1) { _, _ in
            do throws(WireFault) {
                objectives[0] = .success(
                    try GradientOperation.objectives(prompts, loss, pairwise, model.model))
            } catch {
                objectives[0] = .failure(error)
            }
        }
        let prepared = PreparedImages(count: images.count, side: side)
        let work = TowerWork<Source, PixelGradient>(
            key: GroupKey(side.tower, .gradients), groupSize: side.tower.preferredGroup,
            take: { item in
                // Without objectives the request has failed.
                guard case .success(let all) = objectives[0] else { return nil }
                do throws(WireFault) {
                    let image = try prepared.take(item)
                    sizes[item] = (image.height, image.width)
                    return Source(image: image, objective: all[pairwise ? item : 0])
                } catch {
                    computed[item] = .failure(error)
                    return nil
                }
            },
            give: { item, result in
                guard let (height, width) = sizes[item] else { return }
                computed[item] = Result { () throws(WireFault) in
                    let gradient = try result.mapError { WireFault($0) }.get()
                    let vanishing = try gradients.take(
                        gradient.gradient, item, height: height, width: width)
                    return Computed(
                        loss: gradient.loss, score: gradient.score, vanishing: vanishing,
                        count: gradient.gradient.count)
                }
            },
            itemBytes: { images.size($0)?.floatBytes ?? 0 },
            compute: { sources, worker throws(EncoderError) in
                try differentiate(sources, side, worker)
            })
        let stages = prepared.stages(
            preparationBytes: { images.preparationBytes($0, asFloats: true) },
            prepare: { item, worker throws(WireFault) in
                try prepare(images, item, side, worker)
            }, work: work)
        return WorkPlan(stages: prompts.stages + [combine] + stages, isReplyThere: true) {
            () throws(WireFault) in
            if case .failure(let fault) = objectives[0] { throw fault }
            let rows = ItemRows(computed.all) { item throws(WireFault) in
                try datatype.check([item.loss], named: "loss")
                try datatype.check([item.score], named: "score")
            }
            return Outcome(
                model: model, result: ["loss": .string(loss.rawValue)],
                outputs: try gradients.outputs(isThere: rows.values.map { $0 != nil }) + [
                    try Output(
                        name: "loss", shape: [], rows: rows.values.map { $0.map { [$0.loss] } },
                        datatype: datatype),
                    try Output(
                        name: "score", shape: [], rows: rows.values.map { $0.map { [$0.score] } },
                        datatype: datatype),
                ], items: rows.faults,
                warnings: warnings + prompts.warnings + images.warnings
                    + vanishing(rows.values, datatype))
        }
    }

    /// The tower's input by the differentiable map, whatever the image came as.
    private static func prepare(
        _ images: RequestImages, _ item: Int, _ side: ImageSide, _ worker: Worker
    ) throws(WireFault) -> PreparedImages.Ready {
        let (pixels, height, width) = try images.loadFloats(item, for: side)
        do throws(EncoderError) {
            let map = try worker.preprocessing(for: side, height: height, width: width)
            return PreparedImages.Ready(pixels: map.forward(pixels), height: height, width: width)
        } catch {
            throw WireFault(error)
        }
    }

    /// Takes a group all the way; the budget for activations may allow fewer at a time than the tower
    /// prefers.
    private static func differentiate(
        _ sources: [Source], _ side: ImageSide, _ worker: Worker
    ) throws(EncoderError) -> [Result<PixelGradient, EncoderError>] {
        let workspace = worker.gradientWorkspace(for: side.tower)
        var results: [Result<PixelGradient, EncoderError>] = []
        for start in stride(from: 0, to: sources.count, by: workspace.capacity) {
            var group: [PixelGradient.Source] = []
            for source in sources[start..<min(start + workspace.capacity, sources.count)] {
                group.append(
                    PixelGradient.Source(
                        pixels: source.image.pixels, objective: source.objective,
                        preprocessing: try worker.preprocessing(
                            for: side, height: source.image.height, width: source.image.width)))
            }
            results += try PixelGradient.gradients(
                group, tower: side.tower, workspace: workspace)
        }
        return results
    }

    /// One objective for all images, or one an image when pairwise.
    private static func objectives(
        _ prompts: PromptSource, _ loss: SteeringLoss, _ pairwise: Bool, _ model: CLIPModel
    ) throws(WireFault) -> [PromptObjective] {
        let embeddings = try prompts.embeddings()
        do throws(GuidanceError) {
            guard pairwise else {
                return [
                    try PromptObjective(
                        loss: loss, prompts: embeddings, weights: prompts.weights,
                        logitScale: model.logitScale)
                ]
            }
            var objectives: [PromptObjective] = []
            for embedding in embeddings {
                objectives.append(
                    try PromptObjective(
                        loss: loss, prompts: [embedding], weights: [1],
                        logitScale: model.logitScale))
            }
            return objectives
        } catch {
            throw WireFault(error)
        }
    }

    /// Gradients that are small become 0 where the datatype has no such numbers: a warning when that
    /// happens to more than one value in a hundred.
    private static func vanishing(
        _ results: [Computed?], _ datatype: OutputDatatype
    ) -> [String] {
        let lost = results.reduce(0) { $0 + ($1?.vanishing ?? 0) }
        let count = results.reduce(0) { $0 + ($1?.count ?? 0) }
        guard lost * 100 > count else { return [] }
        return [
            "params.datatype: \(lost) of \(count) values of the gradient become 0 in "
                + "\(datatype.rawValue): ask for FP32 or BF16"
        ]
    }
}
