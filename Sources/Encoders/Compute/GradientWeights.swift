/// When the transposed weights are packed that gradients need beside the forward pass' own.
public enum GradientWeights: String, Sendable, Hashable, CaseIterable {
    /// While the tower is made.
    case eager
    /// Matrix by matrix, by the first gradient that comes to it.
    case lazy
    /// Never: the tower has no gradients.
    case off
}
