import Encoders
import IPC
import JSON

/// An operation that needs compute: a name, and a plan for each request.
protocol Operation: Sendable {
    /// The wire's name of it.
    static var name: String { get }
    /// The sides of the model without which no request of this kind is planned.
    static var needs: TowerKinds { get }

    /// Checks parameters and inputs and lays out the work. Runs on a compute thread.
    ///
    /// - Throws: `bad_request` naming the parameter, `bad_tensor` naming the input, and so on.
    static func plan(_ context: inout OperationContext) throws(WireFault) -> WorkPlan

    /// Bytes of the outputs as far as the headers tell; asked before the request is let in, on the
    /// thread that owns the sockets. Of a request that `plan` will refuse it may be anything.
    static func replyBytes(_ facts: RequestFacts) -> Int
}

extension Operation {
    static func replyBytes(_ facts: RequestFacts) -> Int { 0 }
}

/// What is known of a request before it is let in.
struct RequestFacts {
    let params: JSONObject
    let model: LoadedModel
    let imageCount: Int
    let pixels: Int

    init(_ request: Request, _ model: LoadedModel) {
        params = request.params
        self.model = model
        let images = RequestImages.totals(of: request.inputs)
        (imageCount, pixels) = (images.count, images.pixels)
    }

    /// Bytes of one number of an output.
    var numberSize: Int {
        let name = params["datatype"]?.stringValue.flatMap(OutputDatatype.init) ?? .fp32
        return name.datatype.size ?? 0
    }

    /// Entries of a list; 0 without it (a handle may stand for it).
    func count(_ name: String) -> Int { params[name]?.arrayValue?.count ?? 0 }
}

/// What a plan is made from.
struct OperationContext: Sendable {
    let model: LoadedModel
    let inputs: [Input]
    let handles: PromptHandles
    let limits: OperationLimits
    /// Bytes that the outputs may take together.
    let replyLimit: Int
    let conditioningCache: ConditioningCache
    /// The textual inversions and LoRAs that were loaded when the request was planned.
    let adapters: Adapters.Snapshot
    let variants: EncoderVariants
    let adapterStore: Adapters
    /// Whether the request came in on a control endpoint.
    let isControl: Bool
    var params: ParameterReader

    /// The datatype that float outputs are to be sent in (`params.datatype`).
    mutating func outputDatatype() throws(WireFault) -> OutputDatatype {
        try params.choice("datatype", default: .fp32)
    }
}

/// How much one request may ask for.
package struct OperationLimits: Sendable {
    /// Prompts, texts or labels × templates in one request.
    package var texts = 16_384
    /// Images in one request.
    package var images = 4_096
    /// Bytes of one text, in UTF-8; a text over it is refused before it is tokenized.
    package var textBytes = 1 << 20

    package init() {}

    var description: JSONObject {
        [
            "texts": .integer(texts), "images": .integer(images),
            "text_bytes": .integer(textBytes),
            "image_pixels": .integer(ImageLimits().maximumPixels),
            "image_side": .integer(ImageLimits().maximumSide),
        ]
    }
}

/// The table of operations that go through the scheduler.
enum OperationTable {
    static let all: [any Operation.Type] = [
        TokenizeOperation.self, EmbedTextOperation.self, EmbedImageOperation.self,
        ScoreOperation.self, RankOperation.self, ClassifyOperation.self,
        GradientOperation.self, ConditionOperation.self, ConditionImageOperation.self,
        PrepareOperation.self, LoadOperation.self, UnloadOperation.self,
    ]

    static let byName: [String: any Operation.Type] = Dictionary(
        uniqueKeysWithValues: all.map { ($0.name, $0) })
}
