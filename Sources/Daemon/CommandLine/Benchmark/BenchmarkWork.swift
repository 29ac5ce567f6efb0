/// A kind of work that `guidanced bench` measures.
package enum BenchmarkWork: String, CaseIterable, Sendable {
    /// Normalised pixels to embeddings.
    case image
    /// d(1 − cos)/d(pixels).
    case gradient
    /// Pooled embeddings of prompts of about ten tokens.
    case text
    /// Hidden states of rows as long as the context, after the final norm.
    case text77
    /// A PNG file to normalised pixels.
    case preprocess

    /// What a second's worth of it is counted in.
    package var unit: String {
        switch self {
        case .image, .preprocess: "images"
        case .gradient: "gradients"
        case .text, .text77: "prompts"
        }
    }
}
