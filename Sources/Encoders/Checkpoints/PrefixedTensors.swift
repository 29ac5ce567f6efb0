/// The tensors of a source whose names begin with a prefix, under their names without it.
///
/// A single file that holds a whole pipeline becomes one of these for each tower: names outside the
/// prefix cannot be asked for, so their pages are never touched.
struct PrefixedTensors: TensorSource {
    let path: String
    let tensorNames: [String]
    let prefix: String
    private let base: any TensorSource

    init(_ base: any TensorSource, prefix: String) {
        self.base = base
        self.prefix = prefix
        path = base.path
        tensorNames = base.tensorNames.filter { $0.hasPrefix(prefix) }.map {
            String($0.dropFirst(prefix.count))
        }
    }

    var container: TensorContainer { base.container }

    func shape(of name: String) -> [Int]? { base.shape(of: prefix + name) }
    func storedType(of name: String) -> StoredType? { base.storedType(of: prefix + name) }

    func displayName(_ name: String) -> String { base.displayName(prefix + name) }

    func releasePages() { base.releasePages() }

    func readStoredBytes(
        _ name: String, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(EncoderError) -> Bool {
        try base.readStoredBytes(prefix + name, body)
    }
}
