import Glibc

extension PromptCompiler {
    /// How much the text without a fragment counts against the text with it, for a fragment of a
    /// weight below 1 (`compel/embeddings_provider.py`): 0 at 1, as much at 0.5, nearly all at 0.
    static func lerpFactor(_ weight: Double) -> Float {
        Float(tan((1 - max(1e-5, weight)) * .pi / 2))
    }
}
