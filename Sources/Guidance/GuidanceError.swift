/// What can be wrong with a guidance request whose texts and images are fine.
public enum GuidanceError: Error, Equatable, Sendable {
    /// A parameter out of range, by its wire name.
    case parameter(field: String, expected: String, actual: String)
}

extension GuidanceError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .parameter(let field, let expected, let actual):
            "\(field): expected \(expected), found \(actual)"
        }
    }
}
