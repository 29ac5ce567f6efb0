/// Applies the weights of tokens to the hidden states of their chunk.
///
/// Hidden states are row-major [T, D]; there is one weight a row.
public enum TokenWeighting {
    /// A1111's "original" emphasis: each row times its weight, then everything scaled so that the mean
    /// over the chunk is what it was (`modules/sd_emphasis.py`).
    ///
    /// The means are taken in double precision. Weights that are all 1 change nothing. When the
    /// scale would not be finite, since the weighted mean is 0, it is left out.
    public static func multiplyKeepingMean(_ states: inout [Float], weights: [Float]) {
        guard weights.contains(where: { $0 != 1 }) else { return }
        let width = rowWidth(states, weights)
        let mean = sum(states)
        multiply(&states, weights: weights, width: width)
        let scale = Float(mean / sum(states))
        guard scale.isFinite else { return }
        for index in states.indices { states[index] *= scale }
    }

    /// A1111's emphasis "No norm": each row times its weight.
    public static func multiply(_ states: inout [Float], weights: [Float]) {
        multiply(&states, weights: weights, width: rowWidth(states, weights))
    }

    private static func multiply(_ states: inout [Float], weights: [Float], width: Int) {
        for (row, weight) in weights.enumerated() where weight != 1 {
            for index in row * width..<(row + 1) * width { states[index] *= weight }
        }
    }

    /// ComfyUI's weighting: each row moves along the line from the empty prompt's row of the same
    /// position, z = e + w(z − e) (`comfy/sd1_clip.py`, `encode_token_weights`).
    ///
    /// - Parameter empty: hidden states of the row of an empty prompt, [T, D].
    public static func interpolate(
        _ states: inout [Float], fromEmpty empty: [Float], weights: [Float]
    ) {
        precondition(empty.count == states.count, "hidden states of one shape")
        let width = rowWidth(states, weights)
        for (row, weight) in weights.enumerated() where weight != 1 {
            for index in row * width..<(row + 1) * width {
                states[index] = (states[index] - empty[index]) * weight + empty[index]
            }
        }
    }

    private static func rowWidth(_ states: [Float], _ weights: [Float]) -> Int {
        guard !weights.isEmpty else { return 0 }
        precondition(states.count % weights.count == 0, "one weight a row")
        return states.count / weights.count
    }

    /// In lanes: one sum after the other would wait for each addition.
    private static func sum(_ states: [Float]) -> Double {
        states.withUnsafeBufferPointer { states in
            var lanes = (SIMD8<Double>.zero, SIMD8<Double>.zero)
            var index = 0
            while index + 16 <= states.count {
                for lane in 0..<8 {
                    lanes.0[lane] += Double(states[index + lane])
                    lanes.1[lane] += Double(states[index + 8 + lane])
                }
                index += 16
            }
            return states[index...].reduce((lanes.0 + lanes.1).sum()) { $0 + Double($1) }
        }
    }
}
