import Encoders
import Glibc
import JSON

/// splitmix64: small, seeded, the same everywhere.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}

/// Builds safetensors files, right or deliberately wrong ones.
struct SafetensorsBuilder {
    struct Tensor {
        var name: String
        var type: String
        var shape: [Int]
        var bytes: [UInt8]
        /// Replaces the right offsets when set.
        var offsets: (Int, Int)?
    }

    var tensors: [Tensor] = []
    var metadata: JSONValue?

    mutating func add(_ name: String, shape: [Int], _ values: [Float]) {
        add(name, type: "F32", shape: shape, bytes: values.flatMap { littleEndian($0.bitPattern) })
    }

    mutating func add(_ name: String, type: String, shape: [Int], bytes: [UInt8]) {
        tensors.append(Tensor(name: name, type: type, shape: shape, bytes: bytes))
    }

    func header() -> [UInt8] {
        var members: [String] = []
        if let metadata { members.append("\"__metadata__\":\(metadata.text())") }
        var position = 0
        for tensor in tensors {
            let offsets = tensor.offsets ?? (position, position + tensor.bytes.count)
            position += tensor.bytes.count
            let name = JSONValue.string(tensor.name).text()
            members.append(
                "\(name):{\"dtype\":\"\(tensor.type)\",\"shape\":\(tensor.shape),"
                    + "\"data_offsets\":[\(offsets.0),\(offsets.1)]}")
        }
        return Array("{\(members.joined(separator: ","))}".utf8)
    }

    func file() -> [UInt8] {
        let header = header()
        return littleEndian(UInt64(header.count)) + header + tensors.flatMap(\.bytes)
    }
}

func littleEndian(_ value: some FixedWidthInteger) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
}

/// Folders of the test target.
enum Fixture {
    static let models = folder + "/Fixtures/models"

    private static let folder: String = {
        let parts = "\(#filePath)".split(separator: "/", omittingEmptySubsequences: false)
        return parts.dropLast(2).joined(separator: "/")
    }()

    static func read(_ path: String) throws -> [UInt8] {
        try MappedBytes.map(path: path).array()
    }

    /// The checkpoint files of a fixture, held in memory so that a test can change them.
    static func files(_ name: String) throws -> [String: [UInt8]] {
        let path = models + "/" + name
        var files: [String: [UInt8]] = [:]
        for name in try CheckpointFiles.directory(path).names {
            files[name] = try read(path + "/" + name)
        }
        return files
    }
}

/// A directory that is removed when the value goes away.
final class TemporaryDirectory {
    let path: String

    init() throws {
        var template = Array("\(temporaryRoot)/guidanced-test-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw POSIXFailure(code: errno) }
        path = String(cString: made)
    }

    deinit {
        if let files = try? CheckpointFiles.directory(path) {
            for name in files.names { unlink(path + "/" + name) }
        }
        rmdir(path)
    }

    func write(_ name: String, _ bytes: [UInt8]) throws {
        let descriptor = open(path + "/" + name, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        guard descriptor >= 0 else { throw POSIXFailure(code: errno) }
        defer { close(descriptor) }
        guard Glibc.write(descriptor, bytes, bytes.count) == bytes.count else {
            throw POSIXFailure(code: errno)
        }
    }
}

struct POSIXFailure: Error {
    let code: Int32
}

private var temporaryRoot: String {
    getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
}

/// A checkpoint's survey and all its weights, read one after the other.
struct LoadedWeights {
    let configuration: CLIPConfiguration
    let logitScale: Float
    let text: TextWeights?
    let vision: VisionWeights?

    init(_ files: CheckpointFiles) throws {
        let survey = try CheckpointSurvey(.directory(files))
        configuration = survey.configuration
        logitScale = survey.logitScale
        text = try survey.textWeights()
        vision = try survey.visionWeights()
    }
}
