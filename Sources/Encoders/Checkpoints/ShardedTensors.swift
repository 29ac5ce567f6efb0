import JSON

/// Several files with tensors that make one checkpoint, joined by an index file
/// (`{"weight_map": {tensor: file}}`, as transformers writes it).
public struct ShardedTensors: TensorSource {
    public let path: String
    public let tensorNames: [String]
    private let shards: [String: any TensorSource]
    private let shardOf: [String: String]

    /// Opens every shard and checks that index and shards agree on each tensor.
    ///
    /// - Throws: `EncoderError.file` for a missing shard, `.malformed` for a damaged index, `.tensor`
    ///   for a tensor that is not where the index says.
    public init(files: CheckpointFiles, index name: String) throws(EncoderError) {
        path = files.path(of: name)
        let document = try files.json(named: name)
        guard let map = document?["weight_map"]?.objectValue else {
            throw .malformed(
                path: path, offset: nil, expected: "an object \"weight_map\"",
                actual: document?["weight_map"]?.kind ?? "none")
        }
        var shards: [String: any TensorSource] = [:]
        var shardOf: [String: String] = [:]
        for (tensor, value) in map.members {
            guard let shard = value.stringValue else {
                throw .tensor(
                    path: path, name: tensor, expected: "a file name", actual: value.kind)
            }
            shardOf[tensor] = shard
            if shards[shard] == nil {
                guard let bytes = try files.bytes(named: shard) else {
                    throw .file(
                        path: files.path(of: shard),
                        reason: "is missing; \(name) says that it holds \"\(tensor)\"")
                }
                shards[shard] = try TensorFile.open(bytes, path: files.path(of: shard))
            }
            guard shards[shard]?.shape(of: tensor) != nil else {
                throw .tensor(
                    path: files.path(of: shard), name: tensor,
                    expected: "the tensor here, as \(name) says", actual: "no such tensor")
            }
        }
        for (shard, file) in shards.sorted(by: { $0.key < $1.key }) {
            for tensor in file.tensorNames where shardOf[tensor] != shard {
                let elsewhere = shardOf[tensor].map { "in \($0)" } ?? "nowhere"
                throw .tensor(
                    path: files.path(of: shard), name: tensor,
                    expected: "a tensor that \(name) lists in this file",
                    actual: "one that it lists \(elsewhere)")
            }
        }
        self.shards = shards
        self.shardOf = shardOf
        tensorNames = map.keys
    }

    public var container: TensorContainer { shards.values.first?.container ?? .safetensors }

    public func shape(of name: String) -> [Int]? { shard(of: name)?.shape(of: name) }
    public func storedType(of name: String) -> StoredType? {
        shard(of: name)?.storedType(of: name)
    }

    public func readStoredBytes(
        _ name: String, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(EncoderError) -> Bool {
        try shard(of: name)?.readStoredBytes(name, body) ?? false
    }

    public func releasePages() {
        for shard in shards.values { shard.releasePages() }
    }

    private func shard(of name: String) -> (any TensorSource)? {
        shardOf[name].flatMap { shards[$0] }
    }
}
