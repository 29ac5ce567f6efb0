import Encoders
import JSON
import Synchronization

/// The checkpoints that `Tests/Generators/formats.py` made, and what it says of them.
enum FormatFixture {
    static let folder =
        Fixture.models.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        .joined(separator: "/") + "/formats"

    static let expected: JSONObject = {
        let bytes = (try? Fixture.read(folder + "/expected.json")) ?? []
        return (try? JSONValue.parse(bytes))?.objectValue ?? JSONObject()
    }()

    static let names = expected.keys

    static func path(_ name: String) -> String { folder + "/" + name }

    /// The first 16 digits of the SHA-256 of fp32 values.
    static func digest(_ values: [Float]) -> String {
        values.withUnsafeBytes { String(PlainSHA256.hexDigest($0).prefix(16)) }
    }

    /// The digests of a tower's weights under transformers' names.
    static func digests(_ tower: CheckpointTower) throws -> [String: String] {
        var tensors: [NamedTensor] = []
        if let sizes = tower.configuration.text, let weights = try tower.textWeights() {
            tensors += weights.transformersTensors(sizes)
        }
        if let sizes = tower.configuration.vision, let weights = try tower.visionWeights() {
            tensors += weights.transformersTensors(sizes)
        }
        return Dictionary(
            tensors.map { ($0.name, digest($0.values)) }, uniquingKeysWith: { first, _ in first })
    }
}

/// Passes everything on to another source and writes down which tensors were read.
final class AccountingSource: TensorSource {
    private let base: any TensorSource
    private let names = Mutex<Set<String>>([])

    init(_ base: any TensorSource) { self.base = base }

    var read: Set<String> { names.withLock { $0 } }
    var path: String { base.path }
    var container: TensorContainer { base.container }
    var tensorNames: [String] { base.tensorNames }
    func shape(of name: String) -> [Int]? { base.shape(of: name) }
    func storedType(of name: String) -> StoredType? { base.storedType(of: name) }
    func releasePages() { base.releasePages() }

    func readStoredBytes(
        _ name: String, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(EncoderError) -> Bool {
        _ = names.withLock { $0.insert(name) }
        return try base.readStoredBytes(name, body)
    }
}

/// Builds zip files with stored entries, right or deliberately wrong ones.
struct ZipBuilder {
    var entries: [(name: String, bytes: [UInt8])] = []
    var method: UInt16 = 0
    var flags: UInt16 = 0
    /// Puts all sizes and places into zip64 fields.
    var isZip64 = false

    mutating func add(_ name: String, _ bytes: [UInt8]) { entries.append((name, bytes)) }

    func file() -> [UInt8] {
        var file: [UInt8] = []
        var directory: [UInt8] = []
        for (name, bytes) in entries {
            let start = file.count
            let count = isZip64 ? UInt32.max : UInt32(bytes.count)
            var common: [UInt8] = littleEndian(UInt16(20)) + littleEndian(flags)
            common += littleEndian(method) + littleEndian(UInt32(0)) + littleEndian(UInt32(0))
            common += littleEndian(count) + littleEndian(count)
            common += littleEndian(UInt16(name.utf8.count))
            file += littleEndian(UInt32(0x0403_4b50)) + common
            // Padding that only the header before the data has, as torch aligns tensors.
            let padding = littleEndian(UInt16(0x4246)) + littleEndian(UInt16(3)) + [0, 0, 0]
            file += littleEndian(UInt16(padding.count)) + Array(name.utf8) + padding + bytes
            var extra: [UInt8] = []
            if isZip64 {
                extra = littleEndian(UInt16(1)) + littleEndian(UInt16(24))
                extra += littleEndian(UInt64(bytes.count)) + littleEndian(UInt64(bytes.count))
                extra += littleEndian(UInt64(start))
            }
            directory += littleEndian(UInt32(0x0201_4b50)) + littleEndian(UInt16(20)) + common
            directory += littleEndian(UInt16(extra.count)) + littleEndian(UInt16(0))
            directory += littleEndian(UInt16(0)) + littleEndian(UInt16(0))
            directory += littleEndian(UInt32(0))
            directory += littleEndian(isZip64 ? UInt32.max : UInt32(start))
            directory += Array(name.utf8) + extra
        }
        let start = file.count
        file += directory
        if isZip64 {
            let record = file.count
            file += littleEndian(UInt32(0x0606_4b50)) + littleEndian(UInt64(44))
            file += littleEndian(UInt16(45)) + littleEndian(UInt16(45)) + littleEndian(UInt64(0))
            file += littleEndian(UInt64(entries.count)) + littleEndian(UInt64(entries.count))
            file += littleEndian(UInt64(directory.count)) + littleEndian(UInt64(start))
            file += littleEndian(UInt32(0x0706_4b50)) + littleEndian(UInt32(0))
            file += littleEndian(UInt64(record)) + littleEndian(UInt32(1))
        }
        let count = isZip64 ? UInt16.max : UInt16(entries.count)
        file += littleEndian(UInt32(0x0605_4b50)) + littleEndian(UInt32(0))
        file += littleEndian(count) + littleEndian(count)
        file += littleEndian(isZip64 ? UInt32.max : UInt32(directory.count))
        file += littleEndian(isZip64 ? UInt32.max : UInt32(start)) + littleEndian(UInt16(0))
        return file
    }
}

/// Spells pickles opcode by opcode.
enum PickleText {
    static func text(_ text: String) -> [UInt8] {
        [UInt8(ascii: "X")] + littleEndian(UInt32(text.utf8.count)) + Array(text.utf8)
    }

    static func global(_ module: String, _ name: String) -> [UInt8] {
        Array("c\(module)\n\(name)\n".utf8)
    }

    static func integer(_ value: Int32) -> [UInt8] {
        [UInt8(ascii: "J")] + littleEndian(value)
    }

    static func tuple(_ parts: [UInt8]...) -> [UInt8] {
        Array("(".utf8) + parts.flatMap { $0 } + Array("t".utf8)
    }

    /// A tensor of fp32 in storage `key` of `count` elements.
    static func tensor(
        _ key: String, count: Int32, offset: Int32 = 0, shape: [Int32], strides: [Int32],
        type: String = "FloatStorage"
    ) -> [UInt8] {
        let storage = tuple(
            text("storage"), global("torch", type), text(key), text("cpu"), integer(count))
        let sizes = tuple(shape.flatMap(integer))
        let steps = tuple(strides.flatMap(integer))
        let arguments = tuple(
            storage + Array("Q".utf8), integer(offset), sizes, steps, [0x89],
            global("collections", "OrderedDict") + Array(")R".utf8))
        return global("torch._utils", "_rebuild_tensor_v2") + arguments + Array("R".utf8)
    }

    static func dictionary(_ members: [(String, [UInt8])]) -> [UInt8] {
        Array("}(".utf8) + members.flatMap { text($0.0) + $0.1 } + Array("u".utf8)
    }

    /// One whole pickle.
    static func pickle(_ value: [UInt8]) -> [UInt8] { [0x80, 2] + value + Array(".".utf8) }

    /// A file as `torch.save` writes it, with fp32 storages.
    static func file(_ value: [UInt8], storages: [String: [Float]] = [:]) -> [UInt8] {
        builder(value, storages: storages).file()
    }

    static func builder(_ value: [UInt8], storages: [String: [Float]] = [:]) -> ZipBuilder {
        var zip = ZipBuilder()
        zip.add("archive/data.pkl", pickle(value))
        for (key, values) in storages.sorted(by: { $0.key < $1.key }) {
            zip.add("archive/data/\(key)", values.flatMap { littleEndian($0.bitPattern) })
        }
        zip.add("archive/version", Array("3\n".utf8))
        return zip
    }
}
