package import Encoders
package import Guidance
package import IPC

// The one place where errors of the layers below become wire errors.

extension WireFault {
    package init(_ error: EncoderError, field: String? = nil) {
        let code: ErrorCode =
            switch error {
            case .image: .badImage
            case .tooLarge: .tooLarge
            case .promptTooLong: .promptTooLong
            case .text, .unsupported, .configuration: .badRequest
            case .file, .malformed, .tensor: .internal
            }
        self.init(code, error.description, field: field)
    }

    package init(_ error: GuidanceError) {
        switch error {
        case .parameter(let field, let expected, let actual):
            self.init(
                .badRequest, "expected \(expected), found \(actual)",
                field: "params.\(field)")
        }
    }

    /// A parameter that is missing or of the wrong kind or range.
    static func parameter(_ name: String, expected: String, actual: String) -> WireFault {
        WireFault(
            .badRequest, "expected \(expected), found \(actual)",
            field: "params.\(name)")
    }
}
