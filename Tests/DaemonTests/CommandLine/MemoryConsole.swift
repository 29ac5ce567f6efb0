import Daemon
import IPC
import JSON
import Synchronization

/// Collects what a command writes.
final class MemorySink: ByteSink {
    private let content = Mutex<[UInt8]>([])
    let isTerminal: Bool

    init(isTerminal: Bool = false) { self.isTerminal = isTerminal }

    func write(_ bytes: [UInt8]) throws(OutputError) { content.withLock { $0 += bytes } }

    var bytes: [UInt8] { content.withLock { $0 } }
    var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// A console whose two streams are kept apart, in memory.
struct MemoryConsole {
    let output: MemorySink
    let errors = MemorySink()
    var console: Console { Console(output: output, errors: errors) }

    init(isTerminal: Bool = false) { output = MemorySink(isTerminal: isTerminal) }
}

/// A session that answers from a closure and remembers what it was asked.
final class ScriptedSession: Session {
    struct Call {
        let op: String
        let model: String?
        let params: JSONObject
        let inputs: [Input]
    }

    let batchSize: Int
    private(set) var calls: [Call] = []
    private let answer: (Call) throws -> Reply

    init(batchSize: Int = 8, answer: @escaping (Call) throws -> Reply) {
        self.batchSize = batchSize
        self.answer = answer
    }

    func call(op: String, model: String?, params: JSONObject, inputs: [Input]) throws -> Reply {
        let call = Call(op: op, model: model, params: params, inputs: inputs)
        calls.append(call)
        return try answer(call)
    }
}

extension Reply {
    /// A reply of a model "m" to any operation.
    static func scripted(
        result: JSONObject = [:], outputs: [Output] = [], items: [ItemFault] = [],
        warnings: [String] = []
    ) -> Reply {
        Reply(
            id: "1", op: nil, status: .ok, model: "m", fingerprint: "f00d", result: result,
            outputs: outputs, items: items, warnings: warnings)
    }
}
