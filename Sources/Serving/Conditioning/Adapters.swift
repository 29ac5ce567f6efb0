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
            /// The LoRA whose file it came in.
            package let bundledWith: String?
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

    /// How many of each kind there may be; embeddings that come in LoRAs' files count as well.
    package static let limit = 1024

    private let state = Mutex(Snapshot())
    /// What of the first sources is not used, for people.
    package let notes: [String]

    package init() { notes = [] }

    /// Loads every source.
    package init(_ sources: [Source]) throws(EncoderError) {
        var notes: [String] = []
        let loaded = Adapters()
        for source in sources { notes += try loaded.load(source) }
        self.notes = notes
        let first = loaded.snapshot
        state.withLock { $0 = first }
    }

    package var snapshot: Snapshot { state.withLock { $0 } }

    /// Reads a file and makes it usable under a name, instead of what had that name.
    ///
    /// Textual inversions that came along in a LoRA's file are usable as well, while that is loaded.
    ///
    /// - Returns: what of the file is not used, for people.
    /// - Throws: `EncoderError` naming what is wrong with the file.
    @discardableResult
    package func load(_ source: Source) throws(EncoderError) -> [String] {
        switch source.kind {
        case .lora:
            let file = try LoRAFile.open(source.path)
            var notes = file.remarks
            try insert(source.kind) { state in
                state.loras[source.name] = Snapshot.LoRAEntry(
                    name: source.name, file: file, serial: state.generation,
                    folded: FoldedName(source.name))
                notes += state.replaceBundle(of: source.name, by: file.embeddings)
            }
            return notes.map { "\(source.name): \($0)" }
        case .embedding:
            let inversion = try TextualInversion.open(source.path)
            try insert(source.kind) { state in
                state.embeddings[source.name] = Snapshot.EmbeddingEntry(
                    name: source.name, inversion: inversion, serial: state.generation,
                    folded: FoldedName(source.name), bundledWith: nil)
            }
            return []
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
                case .lora: state.removeLoRA(name)
                case .embedding: state.embeddings.removeValue(forKey: name) != nil
                }
            if existed { state.generation += 1 }
            return existed
        }
    }
}

extension Adapters.Snapshot {
    /// Takes the textual inversions of a LoRA's file, instead of those that came in the file before.
    /// What was loaded by itself keeps its name.
    ///
    /// - Returns: which are left out, for people.
    fileprivate mutating func replaceBundle(
        of lora: String, by bundle: [LoRAFile.BundledEmbedding]
    ) -> [String] {
        embeddings = embeddings.filter { $0.value.bundledWith != lora }
        var notes: [String] = []
        for embedding in bundle {
            let name = embedding.name
            if let other = embeddings[name] {
                let owner = other.bundledWith.map { "of LoRA \($0)" } ?? "loaded by itself"
                notes.append("embedding \"\(name)\" of the file: left out for the one \(owner)")
            } else if embeddings.count >= Adapters.limit {
                notes.append("embedding \"\(name)\" of the file: left out, there are too many")
            } else if !AdapterName.isValid(name) {
                notes.append(
                    "embedding of the file: expected as name \(AdapterName.expected), found "
                        + AdapterName.quoted(name))
            } else {
                embeddings[name] = EmbeddingEntry(
                    name: name, inversion: embedding.inversion, serial: generation,
                    folded: FoldedName(name), bundledWith: lora)
            }
        }
        return notes
    }

    fileprivate mutating func removeLoRA(_ name: String) -> Bool {
        guard loras.removeValue(forKey: name) != nil else { return false }
        embeddings = embeddings.filter { $0.value.bundledWith != name }
        return true
    }
}

extension LoRAFile {
    /// What of the file changes no text encoder here, for people; the UNet's part is the usual case
    /// and not worth a word where there is one for text encoders.
    fileprivate var remarks: [String] {
        let named = others.filter { $0.part != "unet" && $0.part != "transformer" }
        let counted = changesText ? named : others
        var remarks = notes
        if !changesText { remarks.append("it changes no text encoder") }
        remarks += counted.map { "\($0.tensors) tensors belong to \($0.part) and are not used" }
        return remarks
    }
}

/// A LoRA that a request uses, with its strengths.
struct UsedLoRA: Sendable {
    let entry: Adapters.Snapshot.LoRAEntry
    /// On the text encoders that `strengths` does not name.
    let strength: Double
    var strengths: [EncoderRole: Double] = [:]
    /// On the sampler's own network, which is the sampler's to apply.
    let unetStrength: Double

    func strength(for role: EncoderRole) -> Double { strengths[role] ?? strength }
}
