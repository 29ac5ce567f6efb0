import Glibc

/// Vectors of the joint text–image space and what is done with them.
///
/// Sums run in double precision in index order, so a result depends on its two vectors alone.
public enum Embedding {
    /// ⟨a, b⟩ for vectors of equal width.
    public static func dot(_ a: [Float], _ b: [Float]) -> Double {
        precondition(a.count == b.count, "embeddings of one model have one width")
        var sum = 0.0
        for index in a.indices { sum += Double(a[index]) * Double(b[index]) }
        return sum
    }

    /// ‖a‖₂.
    public static func norm(_ a: [Float]) -> Double {
        dot(a, a).squareRoot()
    }

    /// a / ‖a‖₂; a zero vector stays zero.
    public static func normalized(_ a: [Float]) -> [Float] {
        let length = norm(a)
        guard length > 0 else { return a }
        return a.map { Float(Double($0) / length) }
    }

    /// The cosine of the angle between two vectors, in −1…1; 0 when either is zero.
    public static func cosine(_ a: [Float], _ b: [Float]) -> Double {
        let lengths = norm(a) * norm(b)
        guard lengths > 0 else { return 0 }
        return min(max(dot(a, b) / lengths, -1), 1)
    }

    /// Means of unit vectors that are shorter than this have cancelled: what is left of them is
    /// rounding.
    static let leastMean = 1e-6

    /// The renormalised mean of unit vectors: how several prompt templates become one class vector
    /// (Radford et al. 2021, §3.1.4).
    ///
    /// - Parameter vectors: at least one vector, all of one width; each is normalised first.
    /// - Returns: a unit vector, or `nil` when the vectors cancel.
    public static func normalizedMean(_ vectors: [[Float]]) -> [Float]? {
        guard let width = vectors.first?.count else { return nil }
        var sum = [Double](repeating: 0, count: width)
        for vector in vectors {
            let length = norm(vector)
            guard length > 0 else { continue }
            for index in 0..<width { sum[index] += Double(vector[index]) / length }
        }
        let mean = sum.map { Float($0 / Double(vectors.count)) }
        return norm(mean) >= leastMean ? normalized(mean) : nil
    }
}
