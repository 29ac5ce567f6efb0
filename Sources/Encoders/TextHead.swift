/// What stands behind a text tower's last block: the final norm and the projection, for callers who
/// need them on other states than the last, or on another position than the first end token's.
///
/// Sums run in double precision: one row costs a thousandth of the tower.
public struct TextHead: Sendable, Equatable {
    /// [W] each.
    public let normWeight: [Float]
    public let normBias: [Float]
    public let eps: Float
    /// [D, W]; `nil` for a tower without a projection.
    public let projection: [Float]?

    init(normWeight: [Float], normBias: [Float], eps: Float, projection: [Float]?) {
        self.normWeight = normWeight
        self.normBias = normBias
        self.eps = eps
        self.projection = projection
    }

    /// - Throws: `EncoderError.tensor` when an array does not have the configuration's size.
    public init(
        configuration: TextConfiguration, weights: TextWeights
    ) throws(EncoderError) {
        func check(_ name: String, _ values: [Float], _ count: Int) throws(EncoderError) {
            guard values.count == count else {
                throw .tensor(
                    path: "text tower", name: name, expected: "\(count) values",
                    actual: "\(values.count)")
            }
        }
        try check("final norm weight", weights.finalNormWeight, configuration.width)
        try check("final norm bias", weights.finalNormBias, configuration.width)
        if let outputs = configuration.projection {
            try check("projection", weights.projection ?? [], outputs * configuration.width)
        }
        normWeight = weights.finalNormWeight
        normBias = weights.finalNormBias
        eps = configuration.eps
        projection = configuration.projection == nil ? nil : weights.projection
    }

    /// Width of the hidden states.
    public var width: Int { normWeight.count }

    /// Width of a projected vector; `nil` without a projection.
    public var projectedWidth: Int? { projection.map { $0.count / width } }

    /// The final layer norm, row by row.
    ///
    /// - Parameter states: [T, W].
    /// - Returns: [T, W].
    public func normalized(_ states: [Float]) -> [Float] {
        precondition(states.count % width == 0, "rows of the tower's width")
        var result = states
        for start in stride(from: 0, to: states.count, by: width) {
            var sum = 0.0
            for index in start..<start + width { sum += Double(states[index]) }
            let mean = sum / Double(width)
            var squares = 0.0
            for index in start..<start + width {
                let difference = Double(states[index]) - mean
                squares += difference * difference
            }
            let scale = 1 / (squares / Double(width) + Double(eps)).squareRoot()
            for column in 0..<width {
                let value = (Double(states[start + column]) - mean) * scale
                result[start + column] = Float(
                    value * Double(normWeight[column]) + Double(normBias[column]))
            }
        }
        return result
    }

    /// A normalised row through the projection, [D]; the row itself without one.
    ///
    /// - Parameter row: [W].
    public func projected(_ row: [Float]) -> [Float] {
        guard let projection else { return row }
        precondition(row.count == width, "one row of the tower's width")
        return (0..<projection.count / width).map { output in
            var sum = 0.0
            for column in 0..<width {
                sum += Double(projection[output * width + column]) * Double(row[column])
            }
            return Float(sum)
        }
    }
}
