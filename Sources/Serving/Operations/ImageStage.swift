import Encoders
import Guidance
import IPC

/// Encodes a request's images, one item each; a bad image fails alone.
struct ImageStage: Sendable {
    let images: RequestImages
    private let side: ImageSide
    private let prepared: PreparedImages
    private let slots: Slots<Result<[Float], WireFault>>

    /// - Throws: `bad_request` when the model has no image tower, and what `RequestImages` throws.
    init(_ context: OperationContext) throws(WireFault) {
        side = try ImageSide(context.model)
        images = try RequestImages(context.inputs, limit: context.limits.images)
        prepared = PreparedImages(count: images.count, side: side)
        slots = Slots(count: images.count)
    }

    var count: Int { images.count }
    var warnings: [String] { images.warnings }
    var embeddingWidth: Int { side.tower.embeddingWidth }

    var stages: [WorkPlan.Stage] {
        prepared.stages(
            preparationBytes: { [images] in images.preparationBytes($0, asFloats: false) },
            prepare: prepare, work: work)
    }

    /// Images that cannot be read fail alone; the others of a group are encoded together.
    private var work: TowerWork<[Float], [Float]> {
        TowerWork(
            key: GroupKey(side.tower, .images), groupSize: side.tower.preferredGroup,
            take: { [prepared, slots] item in
                do throws(WireFault) {
                    return try prepared.take(item).pixels
                } catch {
                    slots[item] = .failure(error)
                    return nil
                }
            },
            give: { [slots] item, result in
                slots[item] = result.mapError { WireFault($0) }
            },
            compute: { [side] pixels, worker throws(EncoderError) in
                try side.tower.embed(
                    images: pixels, workspace: worker.workspace(for: side.tower)
                ).map { embedding in
                    Result { () throws(EncoderError) in
                        try ResultCheck.embedding(embedding, from: .image)
                        return embedding
                    }
                }
            })
    }

    /// The tower's input: byte images take the exact path, floats the differentiable one.
    private func prepare(
        _ item: Int, _ worker: Worker
    ) throws(WireFault) -> PreparedImages.Ready {
        let image = try images.load(item)
        do throws(EncoderError) {
            switch image {
            case .decoded(let image):
                return PreparedImages.Ready(
                    pixels: try side.preprocessing.pixels(image), height: image.height,
                    width: image.width)
            case .floats(let floats, let height, let width):
                let map = try worker.preprocessing(for: side, height: height, width: width)
                return PreparedImages.Ready(
                    pixels: map.forward(floats), height: height, width: width)
            }
        } catch {
            throw WireFault(error)
        }
    }

    /// What `body` makes of every image's number and embedding [D], which is not normalised.
    func rows(_ body: (Int, [Float]) -> [Float]) -> [Result<[Float], WireFault>?] {
        slots.all.enumerated().map { index, slot in slot?.map { body(index, $0) } }
    }

    static func faults<Value>(_ slots: Slots<Result<Value, WireFault>>) -> [ItemFault] {
        slots.all.enumerated().compactMap { index, slot in
            switch slot {
            case .success: nil
            case .failure(let fault): ItemFault(index: index, error: fault)
            case nil:
                ItemFault(
                    index: index,
                    error: WireFault(.internal, "the item was not processed"))
            }
        }
    }
}

extension ImageTower {
    /// - Throws: `bad_request` naming what the tower has no gradients for.
    func requireGradients() throws(WireFault) {
        guard options.gradients != .off else {
            throw WireFault(
                .badRequest, "expected a daemon with gradients, found --gradients off", field: "op")
        }
        guard hasGradients else {
            throw .parameter(
                "precision", expected: "f32 or bf16 (int8 is for scores, not for gradients)",
                actual: options.precision.rawValue)
        }
    }
}

extension LoadedModel {
    /// - Throws: `bad_request` naming the precision, when its hidden states are no good.
    func requireHiddenStates() throws(WireFault) {
        guard precision != .int8 else {
            throw .parameter(
                "precision", expected: "f32 or bf16 (int8 is for scores, not for hidden states)",
                actual: precision.rawValue)
        }
    }
}

/// The image side of a model: its tower and how pictures are made ready for it.
struct ImageSide: Sendable {
    let tower: any ImageTower
    let preprocessing: ImagePreprocessing

    /// - Throws: `bad_request` when the model has no image tower.
    init(_ model: LoadedModel) throws(WireFault) {
        guard let image = model.imageTower?.model, let tower = image.image,
            let preprocessing = image.preprocessing
        else {
            throw WireFault(
                .badRequest,
                "expected a model with an image tower, found \"\(model.name)\" without one",
                field: "model")
        }
        self.tower = tower
        self.preprocessing = preprocessing
    }
}
