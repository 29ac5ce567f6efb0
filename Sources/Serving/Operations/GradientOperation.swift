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

        let combine = WorkPlan.Stage(itemCount: 1) { _, _ in
            do throws(WireFault) {
                objectives[0] = .success(
                    try GradientOperation.objectives(prompts, loss, pairwise, model.model))
            } catch {
                objectives[0] = .failure(error)
            }
        }
        let prepared = PreparedImages(count: images.count, side: side)
        let stages = prepared.stages(
            preparationBytes: { images.preparationBytes($0, asFloats: true) },
            runBytes: { images.size($0)?.floatBytes ?? 0 },
            prepare: { item, worker throws(WireFault) in
                try prepare(images, item, side, worker)
            },
            run: { items, worker in
                guard case .success(let all) = objectives[0] else { return }
                // The budget for activations may allow fewer at a time than the tower prefers.
                let most = worker.gradientWorkspace(for: side.tower).capacity
                for start in stride(from: items.lowerBound, to: items.upperBound, by: most) {
                    differentiate(
                        prepared, start..<min(start + most, items.upperBound), side,
                        { all[pairwise ? $0 : 0] }, worker, gradients, into: computed)
                }
            })
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

    /// Images that cannot be read fail alone; the others go through the tower together.
    private static func differentiate(
        _ images: PreparedImages, _ items: Range<Int>, _ side: ImageSide,
        _ objective: (Int) -> PromptObjective, _ worker: Worker, _ gradients: GradientOutput,
        into computed: Slots<Result<Computed, WireFault>>
    ) {
        var ready: [(item: Int, height: Int, width: Int)] = []
        var sources: [PixelGradient.Source] = []
        for item in items {
            do throws(WireFault) {
                let image = try images.take(item)
                do throws(EncoderError) {
                    sources.append(
                        PixelGradient.Source(
                            pixels: image.pixels, objective: objective(item),
                            preprocessing: try worker.preprocessing(
                                for: side, height: image.height, width: image.width)))
                } catch {
                    throw WireFault(error)
                }
                ready.append((item, image.height, image.width))
            } catch {
                computed[item] = .failure(error)
            }
        }
        let results = Result { () throws(EncoderError) in
            try PixelGradient.gradients(
                sources, tower: side.tower, workspace: worker.gradientWorkspace(for: side.tower))
        }
        for (index, entry) in ready.enumerated() {
            computed[entry.item] = Result { () throws(WireFault) in
                let result = results.flatMap { $0[index] }.mapError { WireFault($0) }
                let gradient = try result.get()
                let vanishing = try gradients.take(
                    gradient.gradient, entry.item, height: entry.height, width: entry.width)
                return Computed(
                    loss: gradient.loss, score: gradient.score, vanishing: vanishing,
                    count: gradient.gradient.count)
            }
        }
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
