/// One file that `torch.save` or `torch.jit.save` wrote, its tensors by dotted names.
///
/// Nested dictionaries and attributes are joined by dots (`string_to_param.*`, `visual.conv1.weight`);
/// the dictionary under `state_dict`, as training frameworks write it, counts as the whole. Nothing
/// in the pickle is ever run: see `PickleReader`.
public struct TorchFile: TensorSource {
    /// What the tensor of a file that holds a single one, without a name, is called.
    static let rootName = "*"

    public let path: String
    /// In the pickle's order.
    public let tensorNames: [String]
    /// Text beside the tensors, by dotted names.
    let texts: [String: String]
    /// Whole numbers beside the tensors, by dotted names.
    let integers: [String: Int]
    public let container: TensorContainer
    private let views: [String: StridedView]
    private let bytes: MappedBytes

    /// Reads the pickle and checks every tensor's place; no tensor is read.
    ///
    /// - Throws: `EncoderError.unsupported` with its name when the pickle names anything but tensors
    ///   and containers; `.malformed` or `.tensor` for damage.
    public init(bytes: MappedBytes, path: String) throws(EncoderError) {
        try bytes.checkLength()
        let archive = try bytes.withUnsafeBytes { buffer throws(EncoderError) in
            try TorchArchive(buffer, path: path)
        }
        var walk = PickleWalk(heap: archive.heap, path: path)
        let root = archive.heap.member("state_dict", of: archive.root)
        if case .tensor(let index) = archive.root {
            walk.add(Self.rootName, index)
        } else {
            try walk.visit(root ?? archive.root, prefix: "", depth: 0)
        }
        var views: [String: StridedView] = [:]
        var names: [String] = []
        var total = 0
        for (name, index) in walk.tensors {
            let tensor = archive.heap.tensors[index]
            let storage = archive.storages[tensor.storage]
            let view = try StridedView(
                tensor, type: archive.heap.storages[tensor.storage].type, storage: storage,
                name: name, path: path)
            if views.updateValue(view, forKey: name) == nil { names.append(name) }
            total += view.elementCount * view.type.size
            // Tensors may share storages, but not so that a small file stands for a large model.
            guard total <= 16 * max(bytes.count, 1 << 16) else {
                throw .tooLarge(
                    what: "\(path), bytes of all tensors together", limit: 16 * bytes.count,
                    actual: total)
            }
        }
        // As torch's data-parallel wrapper names what it wraps.
        let wrapper = "module."
        if !names.isEmpty, names.allSatisfy({ $0.hasPrefix(wrapper) }) {
            views = Dictionary(
                views.map { (String($0.key.dropFirst(wrapper.count)), $0.value) },
                uniquingKeysWith: { first, _ in first })
            names = names.map { String($0.dropFirst(wrapper.count)) }
        }
        self.path = path
        self.bytes = bytes
        self.views = views
        tensorNames = names
        texts = walk.texts
        integers = walk.integers
        if case .object = archive.root { container = .torchScript } else { container = .torch }
    }

    public func shape(of name: String) -> [Int]? { views[name]?.shape }
    public func storedType(of name: String) -> StoredType? { views[name]?.type }

    public func releasePages() { bytes.releasePages() }

    public func readStoredBytes(
        _ name: String, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(EncoderError) -> Bool {
        guard let view = views[name] else { return false }
        try view.readBytes(of: bytes, body)
        return true
    }
}

/// Collects the tensors, texts and numbers of a tree of dictionaries and objects under dotted names.
private struct PickleWalk {
    private let heap: PickleHeap
    private let path: String
    private(set) var tensors: [(String, Int)] = []
    private(set) var texts: [String: String] = [:]
    private(set) var integers: [String: Int] = [:]
    private var visits = 0

    /// Deeper than any module; also ends a dictionary that contains itself.
    private static let maximumDepth = 48
    private static let maximumVisits = 2_000_000
    /// A module keeps its own tensors and modules in dictionaries that its names leave out.
    private static let unnamed: Set = ["_parameters", "_buffers", "_modules"]

    init(heap: PickleHeap, path: String) {
        self.heap = heap
        self.path = path
    }

    mutating func add(_ name: String, _ tensor: Int) { tensors.append((name, tensor)) }

    mutating func visit(
        _ value: PickleValue, prefix: String, depth: Int
    ) throws(EncoderError) {
        guard let members = heap.members(value) else { return }
        guard depth < Self.maximumDepth else {
            throw .tooLarge(
                what: "\(path), depth of the pickle", limit: Self.maximumDepth, actual: depth + 1)
        }
        let isObject = if case .object = value { true } else { false }
        for (key, value) in members {
            visits += 1
            guard visits <= Self.maximumVisits else {
                throw .tooLarge(
                    what: "\(path), members in the pickle", limit: Self.maximumVisits,
                    actual: visits)
            }
            guard case .text(let key) = key else { continue }
            let name = prefix + key
            switch value {
            case .tensor(let index): tensors.append((name, index))
            case .text(let text): texts[name] = text
            case .integer(let number): integers[name] = number
            case .dictionary, .object:
                try visit(
                    value,
                    prefix: isObject && Self.unnamed.contains(key) ? prefix : name + ".",
                    depth: depth + 1)
            default: break
            }
        }
    }
}
