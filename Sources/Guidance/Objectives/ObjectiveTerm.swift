public import Encoders

/// A loss on what a tower makes of one view of an image: on its embedding, or on hidden states.
///
/// A term knows neither pixels nor towers. How the values of several views become one loss, and which
/// tower each term looks through, is the business of whoever combines them.
public protocol ObjectiveTerm: Sendable {
    /// What of the tower the term looks at.
    var output: TowerOutput { get }

    /// The loss of one output, and its gradient with respect to it.
    func value(at output: [Float]) -> TermValue
}

/// A term's loss at one output of a tower.
public struct TermValue: Sendable, Equatable {
    public let loss: Double
    /// ∂loss/∂output, as long as the output.
    public let dOutput: [Float]

    public init(loss: Double, dOutput: [Float]) {
        self.loss = loss
        self.dOutput = dOutput
    }
}
