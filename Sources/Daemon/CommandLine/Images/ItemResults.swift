package import JSON

/// One item that failed alone.
package struct ItemFailure: Sendable {
    /// The item's number on the command line, from 0.
    package let index: Int
    /// What the user called it.
    package let name: String
    package let error: any Error

    package init(index: Int, name: String, error: any Error) {
        self.index = index
        self.name = name
        self.error = error
    }

    /// For standard error: file and reason.
    package var text: String {
        if let error = error as? InputFileError { return "\(name): \(error.reason)" }
        return "\(name): \(FailureText.text(error))"
    }

    /// For JSON output: `{code, message}`.
    package var json: JSONValue {
        let message = (error as? InputFileError)?.reason ?? FailureText.text(error)
        return ["code": .string(FailureText.code(error)), "message": .string(message)]
    }
}

/// What came of a list of items, in their order.
package struct ItemResults<Value: Sendable>: Sendable {
    /// `nil` where the item failed.
    package var values: [Value?]
    package var failures: [ItemFailure] = []
    /// The model that answered, and the digest of its weights.
    package var model: String?
    package var fingerprint: String?

    package init(count: Int) { values = Array(repeating: nil, count: count) }

    package var isEmpty: Bool { values.allSatisfy { $0 == nil } }

    /// Success, a partial one, or when nothing is left the reason of the first failure.
    package var status: CommandStatus {
        guard let first = failures.min(by: { $0.index < $1.index }) else { return .success }
        return isEmpty ? CommandStatus(first.error) : .someItemsFailed
    }

    package func failure(_ index: Int) -> ItemFailure? {
        failures.first { $0.index == index }
    }

    /// Names the failed items on standard error, in their order.
    package func reportFailures(_ console: Console) {
        for failure in failures.sorted(by: { $0.index < $1.index }) {
            console.remark(failure.text)
        }
    }

    /// The first members of every JSON result.
    package var jsonHead: JSONObject {
        [
            "model": model.map { .string($0) } ?? .null,
            "fingerprint": fingerprint.map { .string($0) } ?? .null,
        ]
    }
}
