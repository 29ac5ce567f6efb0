// Floating-point operations of the matrix products that a tower really runs, two for each
// multiply-add; element-wise work is not counted. For rates in benchmarks.

extension VisionConfiguration {
    /// Of one embedding: the last block computes its keys and values for all tokens and the rest for
    /// the class token alone.
    public var forwardFLOPs: Int {
        let patches = (tokens - 1) * 3 * patchSize * patchSize * width
        let projected = projection.map { $0 * width } ?? 0
        return 2
            * (patches + TransformerShape(self).multiplyAdds(tokens: tokens, pooled: 1) + projected)
    }

    /// Of one gradient: the forward, once more as much for the gradients of its inputs, and the
    /// attention's products that are computed again or twice.
    public var gradientFLOPs: Int {
        let scores = ((layers - 1) * tokens + 1) * tokens * width
        // Backward of the attention: scores again, dP, dV, dQ and dK, where the forward had two.
        return 2 * forwardFLOPs + 2 * 3 * scores
    }
}

extension TextConfiguration {
    /// Of one embedding from `tokens` tokens, start and end included. The products over masked keys
    /// are counted: they are computed.
    public func forwardFLOPs(tokens: Int) -> Int {
        let projected = projection.map { $0 * width } ?? 0
        return 2
            * (TransformerShape(self).multiplyAdds(tokens: tokens, pooled: 1) + projected)
    }

    /// Of the hidden states of `tokens` positions after every block.
    public func statesFLOPs(tokens: Int) -> Int {
        2 * layers * TransformerShape(self).multiplyAdds(tokens: tokens, queries: tokens)
    }
}
