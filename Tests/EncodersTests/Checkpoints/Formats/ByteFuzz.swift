import Encoders
import Glibc

/// Seeded mutations of real files: whatever comes, a reader answers with a value or an `EncoderError`.
enum ByteFuzz {
    struct Summary: CustomStringConvertible {
        var accepted = 0
        var refused = 0
        var description: String { "\(accepted) accepted, \(refused) refused" }
    }

    /// `GUIDANCED_FUZZ_CASES` sets another number of cases.
    static func cases(_ standard: Int) -> Int {
        getenv("GUIDANCED_FUZZ_CASES").flatMap { Int(String(cString: $0)) } ?? standard
    }

    /// - Parameters:
    ///   - bases: files that are right; each case changes one of them.
    ///   - seed: the same seed makes the same files.
    ///   - read: reads a file as far as a user would.
    static func run(
        _ bases: [[UInt8]], cases: Int, seed: UInt64,
        read: ([UInt8]) throws(EncoderError) -> Void
    ) -> Summary {
        var generator = SeededGenerator(seed: seed)
        var summary = Summary()
        for _ in 0..<cases {
            var bytes = bases.randomElement(using: &generator) ?? []
            for _ in 0..<Int.random(in: 1...4, using: &generator) { mutate(&bytes, &generator) }
            do throws(EncoderError) {
                try read(bytes)
                summary.accepted += 1
            } catch {
                precondition(!error.description.isEmpty)
                summary.refused += 1
            }
        }
        return summary
    }

    private static func mutate(_ bytes: inout [UInt8], _ generator: inout SeededGenerator) {
        guard !bytes.isEmpty else { return }
        let position = Int.random(in: 0..<bytes.count, using: &generator)
        switch Int.random(in: 0..<9, using: &generator) {
        case 0: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
        case 1: bytes[position] = UInt8.random(in: 0...255, using: &generator)
        case 2: bytes.removeLast(bytes.count - position)
        case 3: bytes.remove(at: position)
        case 4: bytes.insert(UInt8.random(in: 0...255, using: &generator), at: position)
        case 5, 6:
            // A number that is odd for a size, an offset or a count.
            let odd: [UInt64] = [
                0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 1 << 32, 1 << 62, .max,
                UInt64(bytes.count),
            ]
            let width = [1, 2, 4, 8].randomElement(using: &generator) ?? 4
            let value = littleEndian(odd.randomElement(using: &generator) ?? 0).prefix(width)
            let end = min(bytes.count, position + width)
            bytes.replaceSubrange(position..<end, with: value.prefix(end - position))
        case 7:
            // A piece of the file somewhere else.
            let source = Int.random(in: 0..<bytes.count, using: &generator)
            let length = min(Int.random(in: 1...40, using: &generator), bytes.count - source)
            bytes.insert(contentsOf: bytes[source..<source + length], at: position)
        default:
            let length = min(Int.random(in: 1...40, using: &generator), bytes.count - position)
            bytes.removeSubrange(position..<position + length)
        }
    }

    /// Reads every tensor of a source.
    static func readAll(_ source: any TensorSource) {
        for name in source.tensorNames {
            let shape = source.shape(of: name) ?? []
            if let values = try? source.floats(name, shape: shape) {
                precondition(values.count == shape.reduce(1, *))
                precondition(values.allSatisfy(\.isFinite))
            }
        }
    }
}
