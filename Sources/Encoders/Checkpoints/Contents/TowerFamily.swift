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

    /// The width of the family's text tower.
    private var width: Int {
        switch self {
        case .clipL: 768
        case .clipH: 1_024
        case .clipG: 1_280
        }
    }

    /// Narrower towers are nobody's published ones: tests and experiments, whose names are believed.
    private static let leastWidth = 256

    /// The family of a text tower that a pipeline's names take for one: another one's when the width
    /// says so.
    ///
    /// - Parameters:
    ///   - named: what the names say.
    ///   - tensor: of the width, for messages.
    /// - Throws: `EncoderError.unsupported` for a width that is no pipeline's, and for one that more
    ///   than one activation was trained at.
    static func of(
        width: Int, named: TowerFamily, layout: CheckpointLayout, tensor: String, path: String
    ) throws(EncoderError) -> TowerFamily {
        guard width >= leastWidth, width != named.width else { return named }
        if let other = TowerFamily(width: width), layout == .transformers || other != .clipL {
            return other
        }
        throw .unsupported(
            what: "\(path), tensor \"\(tensor)\"",
            expected: "a width of \(named.width), as its name says (\(named.role.rawValue))",
            actual: "\(width), whose activation is unknown; a model of its own needs its "
                + "\(layout.configurationName)")
    }

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
