/// The tensors of a CLIP-L that is stored without the projection that pipelines use it with.
///
/// SD3's files and ComfyUI's `clip_l.safetensors` leave `text_projection` of CLIP-L out. diffusers'
/// loader (`single_file_utils.py`), ComfyUI (`clip_model.py`) and stable-diffusion.cpp put the identity
/// there: the pooled state of the end token as it is.
struct ImpliedProjection: TensorSource {
    static let name = "text_projection.weight"

    private let base: any TensorSource
    private let width: Int

    /// The tensors with the identity where a CLIP-L under transformers' names has no projection.
    static func add(to source: any TensorSource, _ family: TowerFamily) -> any TensorSource {
        let embedding = TextTensorNames.find(.transformers, in: source).tokenEmbedding
        guard family == .clipL, source.shape(of: name) == nil,
            let width = source.shape(of: embedding)?.last
        else { return source }
        return ImpliedProjection(base: source, width: width)
    }

    private init(base: any TensorSource, width: Int) {
        self.base = base
        self.width = width
    }

    var path: String { base.path }
    var container: TensorContainer { base.container }
    var tensorNames: [String] { base.tensorNames + [Self.name] }
    func displayName(_ name: String) -> String { base.displayName(name) }
    func releasePages() { base.releasePages() }

    func shape(of name: String) -> [Int]? {
        name == Self.name ? [width, width] : base.shape(of: name)
    }

    func storedType(of name: String) -> StoredType? {
        name == Self.name ? .f32 : base.storedType(of: name)
    }

    func readStoredBytes(
        _ name: String, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(EncoderError) -> Bool {
        guard name == Self.name else { return try base.readStoredBytes(name, body) }
        var row = [Float](repeating: 0, count: width)
        for index in 0..<width {
            row[index] = 1
            row.withUnsafeBytes(body)
            row[index] = 0
        }
        return true
    }
}
