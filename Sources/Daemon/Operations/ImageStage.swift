import Encoders
import IPC

/// Encodes a request's images, one item each; a bad image fails alone.
struct ImageStage: Sendable {
    let images: RequestImages
    private let model: CLIPModel
    private let tower: VisionTower
    private let slots: Slots<Result<[Float], WireFault>>

    /// - Throws: `bad_request` when the model has no image tower, and what `RequestImages` throws.
    init(_ context: OperationContext) throws(WireFault) {
        tower = try ImageStage.visionTower(of: context.model)
        model = context.model.model
        images = try RequestImages(context.inputs, limit: context.limits.images)
        slots = Slots(count: images.count)
    }

    static func visionTower(of model: LoadedModel) throws(WireFault) -> VisionTower {
        guard let tower = model.model.vision else {
            throw WireFault(
                .badRequest,
                "expected a model with an image tower, "
                    + "found \"\(model.name)\" without one",
                field: "model")
        }
        return tower
    }

    var count: Int { images.count }
    var embeddingWidth: Int { tower.embeddingWidth }

    var stage: WorkPlan.Stage {
        WorkPlan.Stage(itemCount: images.count) { item, worker in
            do throws(WireFault) {
                slots[item] = .success(
                    tower.embed(
                        try pixels(item, worker), workspace: worker.workspace(for: tower)))
            } catch {
                slots[item] = .failure(error)
            }
        }
    }

    /// The tower's input [3, S, S]: byte images take the exact path, floats the differentiable one.
    private func pixels(_ item: Int, _ worker: Worker) throws(WireFault) -> [Float] {
        let image = try images.load(item)
        do throws(EncoderError) {
            switch image {
            case .decoded(let image):
                return try model.preprocessing.pixels(image)
            case .floats(let floats, let height, let width):
                return try worker.preprocessing(for: model, height: height, width: width)
                    .forward(floats)
            }
        } catch {
            throw WireFault(error)
        }
    }

    /// Every image's embedding [D], not normalised; `nil` where there is a fault.
    var embeddings: [[Float]?] {
        slots.all.map { try? $0?.get() }
    }

    /// The items that failed.
    var faults: [ItemFault] { ImageStage.faults(slots) }

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
