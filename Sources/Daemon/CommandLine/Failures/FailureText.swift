import IPC

/// The one place where errors become text for people.
package enum FailureText {
    package static func text(_ error: any Error) -> String {
        switch error {
        case let fault as WireFault: text(fault)
        case .refused(let fault) as ClientError: text(fault)
        case let error as ClientError: "\(error)"
        default: "\(error)"
        }
    }

    private static func text(_ fault: WireFault) -> String {
        let place = fault.field.flatMap(place(of:)).map { "\($0): " } ?? ""
        switch fault.code {
        case .overloaded:
            let hint = fault.retryAfterMilliseconds.map { "; try again in \($0) ms" } ?? ""
            return "the daemon is overloaded: \(fault.message)\(hint)"
        case .internal: return "internal fault: \(place)\(fault.message)"
        default: return place + fault.message
        }
    }

    /// A wire field as the command line calls it; `nil` where the message says enough.
    package static func place(of field: String) -> String? {
        if field == "model" { return "--model" }
        guard field.hasPrefix("params.") else { return nil }
        let name = field.dropFirst("params.".count)
        guard let bracket = name.firstIndex(of: "["), name.last == "]",
            let index = Int(name[name.index(after: bracket)..<name.index(before: name.endIndex)])
        else {
            return singular[String(name)].map { "--" + $0 } ?? String(name)
        }
        let list = String(name[..<bracket])
        return "\(singular[list] ?? list) \(index + 1)"
    }

    private static let singular = [
        "prompts": "prompt", "prompt": "prompt", "texts": "text", "labels": "label",
        "templates": "template", "weights": "weight", "metric": "metric", "loss": "loss",
        "top_k": "top", "long_prompts": "long-prompts",
    ]

    /// What one item's failure is called in JSON output.
    package static func code(_ error: any Error) -> String {
        switch error {
        case let fault as WireFault: fault.code.rawValue
        case .refused(let fault) as ClientError: fault.code.rawValue
        case let error as InputFileError:
            error.isContentAtFault ? ErrorCode.tooLarge.rawValue : "unreadable_file"
        default: ErrorCode.internal.rawValue
        }
    }
}
