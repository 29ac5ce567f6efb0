/// How an image embedding and a text embedding become one number.
///
/// The raw values are the names that the wire uses.
public enum Metric: String, CaseIterable, Sendable {
    /// The cosine of the two embeddings, −1…1.
    case cosine
    /// exp(logit_scale) · cosine: the logits that CLIP was trained with.
    case logit
    /// 2.5 · max(cosine, 0) with the text prefix "A photo depicts " (Hessel et al. 2021,
    /// arXiv 2104.08718). Published numbers are for ViT-B/32.
    case clipscore

    /// The text that is encoded for a prompt under this metric.
    public func text(for prompt: String) -> String {
        switch self {
        case .cosine, .logit: prompt
        case .clipscore: "A photo depicts " + prompt
        }
    }

    /// The score of a cosine.
    ///
    /// - Parameters:
    ///   - cosine: in −1…1.
    ///   - logitScale: the model's exp(logit_scale), about 100 for trained CLIP weights.
    public func score(cosine: Double, logitScale: Float) -> Float {
        switch self {
        case .cosine: Float(cosine)
        case .logit: Float(Double(logitScale) * cosine)
        case .clipscore: Float(2.5 * max(cosine, 0))
        }
    }
}
