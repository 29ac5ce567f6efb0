import Encoders
import IPC
import JSON

/// `load`: makes a textual inversion or a LoRA usable by name. Control endpoint only: it opens a file
/// of the daemon's machine.
enum LoadOperation: Operation {
    static let name = "load"
    static let needs: TowerKinds = []

    static func plan(_ context: inout OperationContext) throws(WireFault) -> WorkPlan {
        try context.requireControl(name)
        let source = Adapters.Source(
            kind: try context.params.requiredChoice("kind"),
            name: try context.params.adapterName(),
            path: try context.params.requiredString("path"))
        let store = context.adapterStore
        let warnings = context.params.unknownParameterWarnings
        return WorkPlan { () throws(WireFault) in
            let notes: [String]
            do throws(EncoderError) {
                notes = try store.load(source)
            } catch {
                // The path is the request's, so what is wrong with the file is too.
                let code: ErrorCode = if case .tooLarge = error { .tooLarge } else { .badRequest }
                throw WireFault(code, error.description, field: "params.path")
            }
            return Outcome(result: store.snapshot.description, warnings: warnings + notes)
        }
    }
}

/// `unload`: forgets what `load` or the configuration loaded. Control endpoint only.
enum UnloadOperation: Operation {
    static let name = "unload"
    static let needs: TowerKinds = []

    static func plan(_ context: inout OperationContext) throws(WireFault) -> WorkPlan {
        try context.requireControl(name)
        let kind: Adapters.Kind = try context.params.requiredChoice("kind")
        let name = try context.params.adapterName()
        let store = context.adapterStore
        let warnings = context.params.unknownParameterWarnings
        return WorkPlan { () throws(WireFault) in
            guard store.unload(kind, name) else {
                throw .parameter(
                    "name", expected: "a loaded \(kind.rawValue)", actual: "\"\(name)\"")
            }
            return Outcome(result: store.snapshot.description, warnings: warnings)
        }
    }
}

extension OperationContext {
    fileprivate func requireControl(_ operation: String) throws(WireFault) {
        guard isControl else {
            throw WireFault(
                .unauthorized, "\(operation): expected on the control endpoint", field: "op")
        }
    }
}

extension ParameterReader {
    fileprivate mutating func requiredChoice<Choice: RawRepresentable & CaseIterable>(
        _ name: String
    ) throws(WireFault) -> Choice where Choice.RawValue == String {
        let names = Choice.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: ", ")
        let text = try string(name)
        guard let choice = text.flatMap(Choice.init(rawValue:)) else {
            throw .parameter(
                name, expected: "one of \(names)",
                actual: text.map { "\"\($0.prefix(100))\"" } ?? "nothing")
        }
        return choice
    }

    /// The name under which prompts and requests use an adapter.
    fileprivate mutating func adapterName() throws(WireFault) -> String {
        let name = try requiredString("name")
        guard AdapterName.isValid(name) else {
            throw .parameter(
                "name", expected: AdapterName.expected, actual: AdapterName.quoted(name))
        }
        return name
    }
}
