/// Finds the pickle and the storages in the two containers that `torch.save` writes.
struct TorchArchive {
    /// What the pickle built.
    let heap: PickleHeap
    let root: PickleValue
    /// Where each storage is in the file, in the heap's order.
    let storages: [Range<Int>]

    /// Longer pickles than this describe no checkpoint.
    static let maximumPickleLength = 256 << 20
    /// The first number in a file from before torch 1.6 (`torch/serialization.py`, MAGIC_NUMBER).
    private static let magic: [UInt8] = [
        0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19,
    ]

    /// Whether bytes begin as one of the containers does. A safetensors header's length can look the
    /// same, but its JSON begins in the ninth byte, where a pickle or zip file never has a brace.
    static func isLikely(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count < 9 || bytes[8] != UInt8(ascii: "{") else { return false }
        let isPickle = bytes.count >= 2 && bytes[0] == 0x80 && (2...5).contains(bytes[1])
        return isPickle || bytes.starts(with: ZipArchive.signature)
    }

    /// - Throws: `EncoderError.malformed` for damage, `.unsupported` for what torch writes only when
    ///   told to (big-endian numbers) and for a pickle that names something that runs.
    init(_ bytes: UnsafeRawBufferPointer, path: String) throws(EncoderError) {
        if bytes.starts(with: ZipArchive.signature) {
            self = try Self.zip(bytes, path)
        } else {
            self = try Self.legacy(bytes, path)
        }
    }

    private init(heap: PickleHeap, root: PickleValue, storages: [Range<Int>]) {
        self.heap = heap
        self.root = root
        self.storages = storages
    }

    /// A zip file with `NAME/data.pkl` and `NAME/data/KEY` (torch 1.6 and later, and TorchScript).
    private static func zip(
        _ bytes: UnsafeRawBufferPointer, _ path: String
    ) throws(EncoderError) -> TorchArchive {
        let archive = try ZipArchive(bytes, path: path)
        let pickles = archive.names.filter {
            $0.hasSuffix("/data.pkl") && $0.split(separator: "/").count == 2
        }
        guard pickles.count == 1, let pickle = pickles.first else {
            throw .malformed(
                path: path, offset: nil, expected: "one NAME/data.pkl in the zip file",
                actual: "\(pickles.count)")
        }
        let prefix = String(pickle.dropLast("data.pkl".count))
        if archive.entry(prefix + "byteorder") != nil {
            let range = try archive.range(prefix + "byteorder")
            guard bytes[range].elementsEqual("little".utf8) else {
                throw .unsupported(
                    what: "\(path), byteorder", expected: "little", actual: "another")
            }
        }
        let range = try archive.range(pickle)
        try check(range.count, path)
        var reader = PickleReader(ByteCursor(bytes, range: range, path: path))
        let root = try reader.read()
        var storages: [Range<Int>] = []
        for storage in reader.heap.storages {
            let name = prefix + "data/" + storage.key
            let range = try archive.range(name)
            let (length, overflow) = storage.count.multipliedReportingOverflow(
                by: storage.type.size)
            guard !overflow, range.count == length else {
                throw .malformed(
                    path: path, offset: range.lowerBound,
                    expected: "\(storage.count) elements of \(storage.type.rawValue) in \(name)",
                    actual: "\(range.count) bytes")
            }
            storages.append(range)
        }
        return TorchArchive(heap: reader.heap, root: root, storages: storages)
    }

    /// Pickles one after another, then the storages, each behind its length.
    private static func legacy(
        _ bytes: UnsafeRawBufferPointer, _ path: String
    ) throws(EncoderError) -> TorchArchive {
        let limit = min(bytes.count, maximumPickleLength)
        var reader = PickleReader(ByteCursor(bytes, range: 0..<limit, path: path))
        guard try reader.read() == .longInteger(magic) else {
            throw .malformed(
                path: path, offset: 0, expected: "torch's magic number",
                actual: "a pickle that torch.save did not write")
        }
        let protocolVersion = try reader.read()
        guard protocolVersion == .integer(1_001) else {
            throw .unsupported(
                what: "\(path), torch's protocol", expected: "1001",
                actual: protocolVersion.kind)
        }
        let system = try reader.read()
        guard reader.heap.member("little_endian", of: system) == .bool(true) else {
            throw .unsupported(
                what: "\(path), little_endian", expected: "true", actual: "another value")
        }
        let root = try reader.read()
        let keys = try reader.read()
        guard let keys = reader.heap.sequence(keys) else {
            throw .malformed(
                path: path, offset: reader.offset, expected: "a list of storages",
                actual: keys.kind)
        }
        var places: [String: Range<Int>] = [:]
        var cursor = ByteCursor(bytes, range: reader.offset..<bytes.count, path: path)
        let known = Dictionary(
            reader.heap.storages.map { ($0.key, $0) }, uniquingKeysWith: { first, _ in first })
        for key in keys {
            guard case .text(let key) = key, let storage = known[key] else {
                throw cursor.fault("the key of a storage that a tensor uses", key.kind)
            }
            let count = try cursor.count(UInt64.self, "a storage's length")
            let (length, overflow) = count.multipliedReportingOverflow(by: storage.type.size)
            guard count == storage.count, !overflow else {
                throw cursor.fault("\(storage.count) elements of storage \(key)", "\(count)")
            }
            places[key] = try cursor.take(length, "storage \(key)")
        }
        var storages: [Range<Int>] = []
        for storage in reader.heap.storages {
            guard let place = places[storage.key] else {
                throw cursor.fault("storage \(storage.key)", "none of this key")
            }
            storages.append(place)
        }
        return TorchArchive(heap: reader.heap, root: root, storages: storages)
    }

    private static func check(_ length: Int, _ path: String) throws(EncoderError) {
        guard length <= maximumPickleLength else {
            throw .tooLarge(
                what: "\(path), the pickle", limit: maximumPickleLength, actual: length)
        }
    }
}
