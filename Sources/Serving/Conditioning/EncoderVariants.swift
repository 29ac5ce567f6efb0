import Encoders
import Guidance
import Prompts
import System

/// Text encoders with LoRAs merged into their weights, with textual inversions behind their
/// vocabulary: made when they are asked for, and kept while there is room.
package final class EncoderVariants: Sendable {
    /// What an encoder is changed by.
    package struct Key: Hashable, Sendable {
        struct LoRA: Hashable, Sendable {
            let serial: Int
            let strength: Double
        }

        /// Of the tower's own weights.
        let fingerprint: String
        let precision: Precision
        let loras: [LoRA]
        /// Serials of the textual inversions, in order; empty when none is used.
        let embeddings: [Int]
    }

    package struct Variant: Sendable {
        let encoder: TextEncoder
        /// The token of each textual inversion's first vector.
        let firstTokens: [String: Int]
    }

    /// What decides the encoding of an empty prompt's row.
    struct EmptyRowKey: Hashable, Sendable {
        let fingerprint: String
        let precision: Precision
        let loras: [Key.LoRA]
        let row: TokenRow
        let state: Int
        let recipe: String
    }

    private let cache: LeastRecentlyUsed<Key, Variant>
    /// Rows of empty prompts: the dialects that weigh against one would run it with every prompt.
    let emptyRows = LeastRecentlyUsed<EmptyRowKey, EncodedRow>(limit: 32 << 20)
    /// Those that threads are making: whoever wants one of them waits for it.
    private let making = Monitor<Set<Key>>([])

    package init(limit: Int) { cache = LeastRecentlyUsed(limit: limit) }

    package var statistics: LeastRecentlyUsed<Key, Variant>.Statistics { cache.statistics }
    package var limit: Int { cache.limit }

    /// The encoder with these changes; the tower itself when there are none.
    ///
    /// - Throws: `EncoderError` naming the LoRA's file and matrix that does not fit.
    func variant(
        of tower: LoadedModel.Tower, encoder: TextEncoder, loras: [UsedLoRA], isOnly: Bool,
        embeddings: [(name: String, serial: Int, vectors: TextualInversion.Vectors)]
    ) throws(EncoderError) -> Variant {
        var changes: [(lora: LoRA, serial: Int, strength: Double)] = []
        for used in loras {
            let lora = try used.entry.file.lora(
                for: tower.role, width: encoder.sizes.width, isOnly: isOnly)
            guard let lora else { continue }
            changes.append((lora, used.entry.serial, used.strength(for: tower.role)))
        }
        if changes.isEmpty, embeddings.isEmpty {
            return Variant(encoder: encoder, firstTokens: [:])
        }
        let key = Key(
            fingerprint: tower.model.fingerprint, precision: encoder.tower.options.precision,
            loras: changes.map { Key.LoRA(serial: $0.serial, strength: $0.strength) },
            embeddings: embeddings.map(\.serial))
        if let known = cache.value(key) { return known }
        making.wait { $0.insert(key).inserted ? () : nil }
        defer { making.update { _ = $0.remove(key) } }
        if let known = cache.value(key) { return known }
        let made = try EncoderVariants.make(
            tower.source, encoder, changes.map { ($0.lora, Float($0.strength)) }, embeddings)
        cache.insert(made.variant, bytes: made.bytes, for: key)
        return made.variant
    }

    private static func make(
        _ source: CheckpointTower, _ encoder: TextEncoder,
        _ loras: [(lora: LoRA, strength: Float)],
        _ embeddings: [(name: String, serial: Int, vectors: TextualInversion.Vectors)]
    ) throws(EncoderError) -> (variant: Variant, bytes: Int) {
        var firstTokens: [String: Int] = [:]
        var next = encoder.sizes.vocabularySize
        for entry in embeddings {
            firstTokens[entry.name] = next
            next += entry.vectors.count
        }
        let (tower, bytes) = try source.textTower(
            like: encoder.tower, applying: loras, adding: embeddings.map(\.vectors))
        let variant = Variant(
            encoder: TextEncoder(
                tower: tower, tokenizer: encoder.tokenizer, isTrimmed: encoder.isTrimmed,
                usesTokenizerPadding: encoder.usesTokenizerPadding),
            firstTokens: firstTokens)
        return (variant, bytes)
    }
}
