public import Encoders

/// Style: the distance ‖G(x) − G(reference)‖_F of Gram matrices G = FᵀF of an early block's tokens
/// without the class token (FreeDoM's and MPGD's `SD_style`: block 2 of OpenAI's ViT-B/16). G is not
/// normalised.
public struct GramTerm: ObjectiveTerm {
    public let output: TowerOutput
    private let width: Int
    /// [W, W], weighted by nothing: one reference a term.
    private let reference: [Float]

    /// - Parameters:
    ///   - layer: blocks run, 1…layers.
    ///   - reference: the reference image's states after that block, [T, W], class token first.
    ///   - width: W.
    /// - Throws: `GuidanceError.parameter` naming `layer` or the reference.
    public init(
        layer: Int, layers: Int, reference: [Float], width: Int
    ) throws(GuidanceError) {
        guard (1...max(layers, 1)).contains(layer), layers > 0 else {
            throw .parameter(
                field: "layer", expected: "1…\(layers), the tower's blocks", actual: "\(layer)")
        }
        guard width > 0, reference.count % width == 0, reference.count >= 2 * width else {
            throw .parameter(
                field: "images", expected: "states of rows \(width) wide, two or more",
                actual: "\(reference.count) values")
        }
        output = .states(after: layer)
        self.width = width
        self.reference = GramTerm.gram(reference, width)
    }

    /// The gradient at the reference is zero.
    public func value(at states: [Float]) -> TermValue {
        var difference = GramTerm.gram(states, width)
        for index in difference.indices { difference[index] -= reference[index] }
        let length = difference.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot()
        var dStates = [Float](repeating: 0, count: states.count)
        guard length > 0 else { return TermValue(loss: 0, dOutput: dStates) }
        // d‖D‖/dF = F·(D + Dᵀ)/‖D‖, and D is symmetric.
        let rows = states.count / width - 1
        states.withUnsafeBufferPointer { states in
            difference.withUnsafeBufferPointer { difference in
                dStates.withUnsafeMutableBufferPointer { dStates in
                    guard let f = states.baseAddress, let d = difference.baseAddress,
                        let target = dStates.baseAddress
                    else { return }
                    MatrixProduct.multiply(
                        ConstantRows(f + width, rows: rows, columns: width),
                        ConstantRows(d, rows: width, columns: width), .plain,
                        into: Rows(target + width, rows: rows, columns: width),
                        scale: Float(2 / length))
                }
            }
        }
        return TermValue(loss: length, dOutput: dStates)
    }

    /// FᵀF of all rows but the first.
    private static func gram(_ states: [Float], _ width: Int) -> [Float] {
        precondition(states.count % width == 0, "rows of the tower's width")
        let rows = states.count / width - 1
        return [Float](unsafeUninitializedCapacity: width * width) { gram, count in
            gram.initialize(repeating: 0)
            states.withUnsafeBufferPointer { states in
                guard let f = states.baseAddress, let target = gram.baseAddress else { return }
                let tokens = ConstantRows(f + width, rows: rows, columns: width)
                MatrixProduct.multiply(
                    tokens, tokens, .leftTransposed,
                    into: Rows(target, rows: width, columns: width))
            }
            count = width * width
        }
    }
}
