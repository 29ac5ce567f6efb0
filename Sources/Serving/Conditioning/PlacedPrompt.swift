import Encoders
import Guidance
import Prompts

/// One prompt of a request, read, with what is in force for it and the parameters that faults name.
struct PlacedPrompt: Sendable {
    let prompt: PromptText
    /// What the text means.
    let program: PromptProgram
    /// What the second encoder's own text means.
    let secondProgram: PromptProgram?
    let loras: [UsedLoRA]
    let clipSkip: ClipSkip
    let field: String
    let secondField: String

    /// Whether no text was given at all.
    var isEmpty: Bool { program.isEmpty && secondProgram?.isEmpty ?? true }
}

/// What is to be said of names of textual inversions that a prompt has without using them, over all
/// encoders.
struct EmbeddingNotes {
    private var bare: [(name: String, spelling: String)] = []
    private var missing: [(name: String, roles: [EncoderRole])] = []
    private var syntax = PromptSyntax.plain
    /// Other remarks.
    var texts: [String] = []

    mutating func add(_ names: [UnusedName], role: EncoderRole, syntax: PromptSyntax) {
        self.syntax = syntax
        for unused in names {
            switch unused.reason {
            case .bare(let spelling):
                if !bare.contains(where: { $0.name == unused.name }) {
                    bare.append((unused.name, spelling))
                }
            case .noVectors:
                if let place = missing.firstIndex(where: { $0.name == unused.name }) {
                    missing[place].roles.append(role)
                } else {
                    missing.append((unused.name, [role]))
                }
            }
        }
    }

    var all: [String] {
        let fate = syntax == .comfy ? "left out" : "read as text"
        return texts
            + bare.map {
                "\"\($0.name)\" is a textual inversion, but stands here as a word; "
                    + "\"\($0.spelling)\" would use it"
            }
            + missing.map {
                let roles = $0.roles.map(\.rawValue).joined(separator: " and ")
                return "the textual inversion \"\($0.name)\" has no vectors for \(roles): \(fate)"
            }
    }
}
