import Glibc
import IPC
import JSON
import System

/// `guidanced bench --interactive`: one measurement a line, for a program that alternates with others.
struct BenchmarkLines {
    let bench: BenchmarkBench
    let threads: Int
    let loadSeconds: Double

    /// Answers until standard input ends.
    func serve(_ console: Console) throws {
        var ready = facts
        ready["ready"] = true
        ready["threads"] = .integer(threads)
        try console.print(ready.line())
        while let line = readLine(strippingNewline: true) {
            try console.print(answer(line).line())
        }
    }

    private var facts: JSONObject {
        [
            "load_seconds": .number(loadSeconds),
            "resident_bytes": .integer(ProcessMemory.resident),
            "packed_bytes": .integer(bench.packedBytes),
            "activation_bytes": .integer(bench.activationBytes),
        ]
    }

    private func answer(_ line: String) -> JSONObject {
        let words = line.split(separator: " ")
        if words == ["stats"] { return facts }
        guard words.count == 2, let work = BenchmarkWork(rawValue: String(words[0])),
            let batch = Int(words[1]), (1...4096).contains(batch)
        else {
            return [
                "error": .string(
                    "expected \"WORK BATCH\" or \"stats\", found \(SettingRules.quoted(line))")
            ]
        }
        do throws(WireFault) {
            return [
                "work": .string(work.rawValue), "batch": .integer(batch),
                "seconds": .number(try bench.run(work, batch: batch)),
            ]
        } catch {
            return ["error": .string(error.message)]
        }
    }
}

extension JSONObject {
    /// On one line, with its end.
    func line() -> String { JSONValue.object(self).text() + "\n" }
}
