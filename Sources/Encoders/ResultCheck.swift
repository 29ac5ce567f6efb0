import CKernels

/// What every embedding, hidden state and gradient is held to before anything is made of it.
///
/// A vector that is not finite, or has no length, would go on as a plausible number: its cosine with
/// anything is 0, above every honest negative one.
public enum ResultCheck {
    /// What a result was made from, which decides whose error it is.
    public enum Source: Sendable {
        case image
        case text
    }

    /// What is expected of an embedding that has no direction.
    public static let withLength = "with a length above 0"

    /// Embeddings shorter than this have lost the digits of their direction.
    public static let leastLength = Double(Float.leastNormalMagnitude)

    /// Checks an embedding: all of it finite, and longer than nothing.
    ///
    /// - Throws: `EncoderError.image` or `.text`, as `source` says.
    public static func embedding(
        _ values: [Float], from source: Source, named name: String = "an embedding"
    ) throws(EncoderError) {
        try finite(values, from: source, named: name)
        var squares = 0.0
        for value in values { squares += Double(value) * Double(value) }
        let length = squares.squareRoot()
        guard length >= leastLength else {
            throw error(
                source, expected: "\(name) \(withLength)", actual: "one of length \(length)")
        }
    }

    /// Checks that no value is NaN or infinite.
    ///
    /// - Throws: `EncoderError.image` or `.text`, as `source` says.
    public static func finite(
        _ values: [Float], from source: Source, named name: String
    ) throws(EncoderError) {
        let index = gk_first_not_finite(values, values.count)
        guard index < values.count else { return }
        let value = values[index].isNaN ? "NaN" : "\(values[index])"
        throw error(
            source, expected: "\(name) of finite numbers",
            actual: "\(value) at index \(index) of \(values.count)")
    }

    private static func error(_ source: Source, expected: String, actual: String) -> EncoderError {
        switch source {
        case .image: .image(expected: expected, actual: actual)
        case .text: .text(expected: expected, actual: actual)
        }
    }
}
