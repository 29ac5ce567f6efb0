package import Encoders
package import JSON
import Synchronization

/// The textual inversions and LoRAs that requests may use by name, for all models.
package final class Adapters: Sendable {
    package enum Kind: String, CaseIterable, Sendable {
        case lora, embedding
    }

    /// Where one comes from: `NAME=PATH` on the command line.
    package struct Source: Equatable, Sendable {
        package let kind: Kind
        package let name: String
        package let path: String

        package init(kind: Kind, name: String, path: String) {
            self.kind = kind
            self.name = name
            self.path = path
        }
    }

    /// What is loaded at one moment.
    package struct Snapshot: Sendable {
        package struct LoRAEntry: Sendable {
            package let name: String
            package let file: LoRAFile
            /// Differs whenever something else was loaded.
            package let serial: Int
            fileprivate let folded: FoldedName
        }

        package struct EmbeddingEntry: Sendable {
            package let name: String
            package let inversion: TextualInversion
            package let serial: Int
            fileprivate let folded: FoldedName
        }

        package fileprivate(set) var loras: [String: LoRAEntry] = [:]
        package fileprivate(set) var embeddings: [String: EmbeddingEntry] = [:]
        /// Grows with every change.
        fileprivate var generation = 0

        /// The numbers of the adapters that texts may mean, in order: of all whose names can be found in
        /// one, however the prompt's language writes or repairs it. What else is loaded or unloaded
        /// makes no difference to what the texts come to.
        package func serials(namedIn texts: [String]) -> [Int] {
            if loras.isEmpty, embeddings.isEmpty { return [] }
            let folded = texts.map { FoldedName($0) }
            func occurs(_ name: FoldedName) -> Bool { folded.contains { name.mayOccur(in: $0) } }
            return
                (loras.values.filter { occurs($0.folded) }.map(\.serial)
                + embeddings.values.filter { occurs($0.folded) }.map(\.serial)).sorted()
        }

        /// The textual inversions that an encoder can use, by name, in a fixed order.
        package func vectors(
            role: EncoderRole, width: Int
        ) -> [(name: String, serial: Int, vectors: TextualInversion.Vectors)] {
            embeddings.values.sorted { $0.name < $1.name }.compactMap { entry in
                guard let vectors = try? entry.inversion.vectors(for: role, width: width) else {
                    return nil
                }
                return (entry.name, entry.serial, vectors)
            }
        }

        /// What `status` and `load` say of them.
        package var description: JSONObject {
            [
                "loras": .array(loras.keys.sorted().map { .string($0) }),
                "embeddings": .array(embeddings.keys.sorted().map { .string($0) }),
            ]
        }
    }

    /// How many of each kind there may be.
    package static let limit = 1024

    private let state = Mutex(Snapshot())

    package init() {}

    /// Loads every source.
    package convenience init(_ sources: [Source]) throws(EncoderError) {
        self.init()
        for source in sources { try load(source) }
    }

    package var snapshot: Snapshot { state.withLock { $0 } }

    /// Reads a file and makes it usable under a name, instead of what had that name.
    ///
    /// - Throws: `EncoderError` naming what is wrong with the file.
    package func load(_ source: Source) throws(EncoderError) {
        switch source.kind {
        case .lora:
            let file = try LoRAFile.open(source.path)
            guard file.first != nil || file.second != nil else {
                throw .unsupported(
                    what: source.path, expected: "a LoRA that changes a text encoder",
                    actual: "one of other parts (\(file.otherTensors) tensors)")
            }
            try insert(source.kind) { state in
                state.loras[source.name] = Snapshot.LoRAEntry(
                    name: source.name, file: file, serial: state.generation,
                    folded: FoldedName(source.name))
            }
        case .embedding:
            let inversion = try TextualInversion.open(source.path)
            try insert(source.kind) { state in
                state.embeddings[source.name] = Snapshot.EmbeddingEntry(
                    name: source.name, inversion: inversion, serial: state.generation,
                    folded: FoldedName(source.name))
            }
        }
    }

    private func insert(
        _ kind: Kind, _ change: (inout Snapshot) -> Void
    ) throws(EncoderError) {
        let isFull = state.withLock { state in
            let count = kind == .lora ? state.loras.count : state.embeddings.count
            guard count < Adapters.limit else { return true }
            state.generation += 1
            change(&state)
            return false
        }
        if isFull {
            throw .tooLarge(
                what: "\(kind.rawValue)s", limit: Adapters.limit, actual: Adapters.limit + 1)
        }
    }

    /// Forgets one.
    ///
    /// - Returns: whether it existed.
    package func unload(_ kind: Kind, _ name: String) -> Bool {
        state.withLock { state in
            let existed =
                switch kind {
                case .lora: state.loras.removeValue(forKey: name) != nil
                case .embedding: state.embeddings.removeValue(forKey: name) != nil
                }
            if existed { state.generation += 1 }
            return existed
        }
    }
}

/// A LoRA that a request uses, with its strength.
struct UsedLoRA: Sendable {
    let entry: Adapters.Snapshot.LoRAEntry
    let strength: Double
}
