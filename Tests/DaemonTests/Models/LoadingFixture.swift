import Daemon
import Encoders
import Glibc
import IPC
import JSON
import Serving
import System
import Testing

/// An engine whose models are loaded step by step, as the test says.
final class LoadingFixture: Sendable {
    /// A side of a model that began to serve.
    struct Step: Equatable, Sendable {
        let model: String
        let precision: Precision
        let kind: TowerKinds
    }

    let engine: Engine
    private let arrived = Monitor<[Step]>([])
    private let allowed = Monitor(0)
    private let end = Monitor<Result<Bool, EncoderError>?>(nil)

    /// Identifies the models, and loads on another thread: after each step it waits until ``goOn()``.
    init(_ sources: [ModelRegistry.Source], requests: Int = 256) throws {
        engine = Engine(
            registry: try ModelRegistry(identifying: sources), threadCount: 2,
            schedulerLimits: Scheduler.Limits(requests: requests))
        let (engine, arrived, allowed, end) = (engine, arrived, allowed, end)
        _ = SystemThread(name: "loader") {
            let result = Result { () throws(EncoderError) in
                try engine.load { model, kind in
                    let count = arrived.update { steps in
                        steps.append(
                            Step(model: model.name, precision: model.precision, kind: kind))
                        return steps.count
                    }
                    allowed.wait { $0 >= count ? () : nil }
                }
                return engine.registry.isLoaded
            }
            end.update { $0 = result }
        }
    }

    /// Waits until `count` sides serve; loading then stands still.
    func wait(for count: Int) -> [Step] { arrived.wait { $0.count >= count ? $0 : nil } }

    /// Lets the next tower be made.
    func goOn() { allowed.update { $0 += 1 } }

    /// Lets all towers be made and waits; whether they all were.
    func finish() throws -> Bool {
        allowed.update { $0 = .max }
        return try end.wait { $0 }.get()
    }

    /// Sends a request and does not wait.
    func send(
        _ op: String, _ params: JSONObject = [:], _ inputs: [Input] = [], model: String? = nil,
        deadlineMilliseconds: Int? = nil
    ) -> Monitor<Reply?> {
        let answer = Monitor<Reply?>(nil)
        let request = Request(
            id: "t", op: op, model: model, deadlineMilliseconds: deadlineMilliseconds,
            params: params, inputs: inputs, receivedAt: monotonicNow())
        engine.handle(request) { reply in answer.update { $0 = reply } }
        return answer
    }

    func call(
        _ op: String, _ params: JSONObject = [:], _ inputs: [Input] = [], model: String? = nil
    ) -> Reply {
        send(op, params, inputs, model: model).wait { $0 }
    }

    /// The entry of a model in the reply to `models`.
    func entry(_ name: String) throws -> JSONValue {
        let models = try #require(call("models").result["models"]?.arrayValue)
        return try #require(models.first { $0["name"] == .string(name) })
    }

    static let picture = Result {
        EngineFixture.file(try EngineFixture.disc(EngineFixture.red, on: EngineFixture.white))
    }

    /// The files of the built-in model with one number of a tensor made NaN, in a folder.
    static func damaged(_ tensor: String) throws -> TemporaryFolder {
        try changed(tensor) { $0 = [UInt8](repeating: 0xff, count: $1) + $0.dropFirst($1) }
    }

    /// The files of the built-in model with all numbers of a tensor, which is FP16, made this one.
    static func filled(_ tensor: String, _ value: Float16) throws -> TemporaryFolder {
        try changed(tensor) { bytes, _ in
            for index in stride(from: 0, to: bytes.count, by: 2) {
                bytes[index] = UInt8(truncatingIfNeeded: value.bitPattern)
                bytes[index + 1] = UInt8(value.bitPattern >> 8)
            }
        }
    }

    /// The files of the built-in model with a tensor's bytes changed, of which a number has so many.
    private static func changed(
        _ tensor: String, _ body: (inout [UInt8], Int) -> Void
    ) throws -> TemporaryFolder {
        let file = #filePath
        let models =
            file.split(separator: "/").dropLast(4).reduce("") { $0 + "/" + $1 } + "/Models/default"
        let folder = try TemporaryFolder()
        for name in try names(in: models) {
            var bytes = try PipelineFixture.read("\(models)/\(name)")
            if name == "model.safetensors" {
                let length = bytes[..<8].reversed().reduce(0) { $0 << 8 | Int($1) }
                let header = try JSONValue.parse(Array(bytes[8..<8 + length]))
                let entry = try #require(header[tensor])
                let places = try #require(entry["data_offsets"]?.arrayValue).compactMap(\.intValue)
                let range = 8 + length + places[0]..<8 + length + places[1]
                var values = Array(bytes[range])
                body(&values, entry["dtype"] == "F32" ? 4 : 2)
                bytes.replaceSubrange(range, with: values)
            }
            try folder.write(name, bytes)
        }
        return folder
    }

    private static func names(in folder: String) throws -> [String] {
        let handle = try #require(opendir(folder))
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if !name.hasPrefix(".") { names.append(name) }
        }
        return names
    }
}
