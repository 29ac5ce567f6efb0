import Encoders
import JSON

/// Seeded mutations of safetensors bytes: whatever comes, the reader answers with tensors or with an
/// `EncoderError`.
enum SafetensorsFuzz {
    struct Summary: CustomStringConvertible {
        var accepted = 0
        var refused = 0
        var description: String { "\(accepted) accepted, \(refused) refused" }
    }

    /// - Parameters:
    ///   - cases: how many mutated files are read.
    ///   - seed: the same seed makes the same files.
    static func run(cases: Int, seed: UInt64) -> Summary {
        var generator = SeededGenerator(seed: seed)
        var summary = Summary()
        for _ in 0..<cases {
            let bytes = mutated(&generator)
            do throws(EncoderError) {
                let file = try SafetensorsFile(bytes: MappedBytes(bytes), path: "fuzz")
                for name in file.tensorNames {
                    let shape = file.shape(of: name) ?? []
                    if let values = try? file.floats(name, shape: shape) {
                        precondition(values.count == shape.reduce(1, *))
                        precondition(values.allSatisfy(\.isFinite))
                    }
                }
                summary.accepted += 1
            } catch {
                precondition(!error.description.isEmpty)
                summary.refused += 1
            }
        }
        return summary
    }

    private static func mutated(_ generator: inout SeededGenerator) -> [UInt8] {
        var builder = SafetensorsBuilder()
        for index in 0..<Int.random(in: 0...4, using: &generator) {
            let shape = (0..<Int.random(in: 0...3, using: &generator)).map { _ in
                Int.random(in: 0...4, using: &generator)
            }
            let (type, size) =
                [("F32", 4), ("F16", 2), ("BF16", 2), ("I64", 8), ("U8", 1)]
                .randomElement(using: &generator) ?? ("F32", 4)
            let count = shape.reduce(1, *) * size
            builder.add(
                "t\(index)", type: type, shape: shape,
                bytes: (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) })
        }
        if Int.random(in: 0..<4, using: &generator) == 0 { builder.metadata = ["a": "b"] }
        structural(&builder, &generator)
        var bytes = builder.file()
        for _ in 0..<Int.random(in: 0...3, using: &generator) { mutate(&bytes, &generator) }
        return bytes
    }

    /// Wrong on the level of the format: offsets and shapes that lie.
    private static func structural(
        _ builder: inout SafetensorsBuilder, _ generator: inout SeededGenerator
    ) {
        guard !builder.tensors.isEmpty, Int.random(in: 0..<3, using: &generator) == 0 else {
            return
        }
        let index = Int.random(in: 0..<builder.tensors.count, using: &generator)
        let odd = [0, -1, 1, 7, 8, 1 << 31, 1 << 32, 1 << 62, Int.max, Int.min]
        switch Int.random(in: 0..<4, using: &generator) {
        case 0:
            builder.tensors[index].offsets = (
                odd.randomElement(using: &generator) ?? 0, odd.randomElement(using: &generator) ?? 0
            )
        case 1: builder.tensors[index].shape.append(odd.randomElement(using: &generator) ?? 0)
        case 2: builder.tensors[index].name = "t0"
        default:
            builder.tensors[index].type =
                StoredType.allCases
                .randomElement(using: &generator)?.rawValue ?? "F32"
        }
    }

    /// Wrong on the level of bytes.
    private static func mutate(_ bytes: inout [UInt8], _ generator: inout SeededGenerator) {
        guard !bytes.isEmpty else { return }
        let position = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<7, using: &generator) {
        case 0: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        case 1: bytes[position] = UInt8.random(in: 0...255, using: &generator)
        case 2: bytes.removeLast(bytes.count - position)
        case 3: bytes.remove(at: position)
        case 4: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: position)
        case 5:
            let length = UInt64.random(in: 0...UInt64(bytes.count) * 2, using: &generator)
            bytes.replaceSubrange(0..<min(8, bytes.count), with: littleEndian(length))
        default:
            let token =
                ["\"", "{", "}", "[", "]", ",", "9", "-", "\\u0000", "e9"]
                .randomElement(using: &generator) ?? "0"
            bytes.insert(contentsOf: token.utf8, at: position)
        }
    }
}
