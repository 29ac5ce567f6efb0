/// The tensors of a checkpoint as they were when its fingerprint was made: one whose bytes have changed
/// since is an error, not other weights under the same fingerprint.
struct DigestedTensors: TensorSource {
    private let base: any TensorSource
    /// Of every tensor that the fingerprint covers.
    private let digests: [String: String]

    init(_ base: any TensorSource, _ tensors: [StoredTensor]) {
        self.base = base
        digests = Dictionary(
            tensors.map { ($0.name, $0.digest) }, uniquingKeysWith: { first, _ in first })
    }

    var path: String { base.path }
    var container: TensorContainer { base.container }
    var tensorNames: [String] { base.tensorNames }
    func shape(of name: String) -> [Int]? { base.shape(of: name) }
    func storedType(of name: String) -> StoredType? { base.storedType(of: name) }
    func displayName(_ name: String) -> String { base.displayName(name) }
    func releasePages() { base.releasePages() }

    func readStoredBytes(
        _ name: String, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(EncoderError) -> Bool {
        guard let known = digests[name] else { return try base.readStoredBytes(name, body) }
        let digest = ContentDigest()
        let isThere = try base.readStoredBytes(name) { piece in
            digest.update(piece)
            body(piece)
        }
        guard isThere, digest.hexDigest() == known else {
            throw .file(
                path: path,
                reason: "was changed after it was opened: tensor \"\(displayName(name))\" has "
                    + "other bytes than the model's fingerprint covers; load it again")
        }
        return true
    }
}
