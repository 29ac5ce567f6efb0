/// The non-linearity between the two matrices of a transformer block's MLP.
///
/// The configuration decides which (weights trained by OpenAI use `quickGELU`, LAION's use `gelu`);
/// the wrong one gives plausible but wrong embeddings, so it is never guessed.
public enum Activation: String, Sendable, Equatable, CaseIterable {
    /// x·σ(1.702·x) (OpenAI's CLIP, `model.py`).
    case quickGELU = "quick_gelu"
    /// x·Φ(x) through the error function.
    case gelu = "gelu"
    /// The tanh approximation of `gelu` (Hendrycks & Gimpel 2016, §2).
    case geluTanh = "gelu_tanh"
}
