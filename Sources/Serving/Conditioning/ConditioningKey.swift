import Encoders
package import Guidance
package import JSON
import Prompts

/// A prompt's finished vectors and its accounting, as they are cached.
package struct FinishedPrompt: Sendable {
    package let vectors: PromptVectors
    /// The accounting: `encoders`, and `segments` of a prompt that changes.
    package let report: JSONObject
    package let droppedTokens: Int
    package let droppedText: String
    package let ignoredText: [String]
    /// What else is to be said of it, without the parameter's name.
    package let notes: [String]
}

/// A prompt as a request states it.
struct PromptText: Hashable, Sendable {
    var text: String
    /// What the recipe's second encoder gets instead.
    var second: String?
    /// In A1111's dialect the negative prompt has a language of its own.
    var isNegative = false
}

/// What decides a finished prompt: equal keys, equal bits.
package struct ConditioningKey: Hashable, Sendable {
    struct LoRA: Hashable, Sendable {
        let serial: Int
        let strength: Double
        let strengths: [EncoderRole: Double]
    }

    /// Of the model's weights and tokenizers.
    let fingerprint: String
    /// What the weights are held in.
    let precision: Precision
    /// Of the textual inversions and LoRAs that the prompt may name; see
    /// ``Adapters/Snapshot/serials(namedIn:)``. Others come and go without a difference.
    let named: [Int]
    /// Of the request and of the prompts that go together.
    let loras: [LoRA]
    let recipe: String
    let syntax: PromptSyntax
    let emphasis: Emphasis
    let longPrompts: LongPromptPolicy
    let clipSkip: ClipSkip
    let hiddenWidth: Int?
    let steps: Int?
    let prompt: PromptText

    /// Memory, roughly.
    var bytes: Int {
        fingerprint.utf8.count + prompt.text.utf8.count + (prompt.second?.utf8.count ?? 0) + 256
    }
}

package typealias ConditioningCache = LeastRecentlyUsed<ConditioningKey, FinishedPrompt>
