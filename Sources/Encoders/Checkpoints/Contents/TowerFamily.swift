/// What the weights of a single file do not say about a text tower, by the model it was trained as.
///
/// OpenAI trained L/14 with QuickGELU (`model.py` of its CLIP); LAION trained H/14 and bigG/14 with
/// GELU (`model_configs/ViT-H-14.json`, `ViT-bigG-14.json` of open_clip). Pad tokens: the
/// `tokenizer` and `tokenizer_2` folders of the diffusers pipelines.
enum TowerFamily: Sendable, Equatable {
    case clipL, clipH, clipG

    var role: EncoderRole {
        switch self {
        case .clipL: .clipL
        case .clipH: .clipH
        case .clipG: .clipG
        }
    }

    var activation: Activation { self == .clipL ? .quickGELU : .gelu }

    /// `nil` for the end token.
    var padToken: Int32? { self == .clipL ? nil : 0 }

    /// The family of a text tower that stands alone; `nil` for a width that is none of theirs.
    init?(width: Int) {
        switch width {
        case 768: self = .clipL
        case 1_024: self = .clipH
        case 1_280: self = .clipG
        default: return nil
        }
    }
}
