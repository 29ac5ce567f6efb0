import Daemon
import Encoders
import Glibc
import IPC
import JSON
import Serving
import System
import Testing

/// A small diffusers pipeline and what diffusers' own `encode_prompt` makes of prompts with it
/// (Tests/Generators/pipelines.py).
struct PipelineFixture {
    struct Case: CustomStringConvertible, Sendable {
        let pipeline: String
        let number: Int
        let op: String
        let params: JSONObject
        /// Names in `expected.safetensors` by the output's name.
        let outputs: [(name: String, tensor: String)]
        /// Token ids [encoder][prompt].
        let tokens: [[[Int]]]

        var description: String { "\(pipeline) case \(number): \(op)" }
    }

    static let folder: String = {
        let file = #filePath
        return file.split(separator: "/").dropLast(2).reduce("") { $0 + "/" + $1 }
            + "/Fixtures/pipelines"
    }()

    static let names = ["sd1", "sd2", "sdxl", "sdxl-refiner", "sd3-clip", "flux-clip"]

    /// LoRAs and textual inversions by the names that the cases use.
    static let adapters: [Adapters.Source] =
        ["ink", "wash", "ink-xl"].map { adapter(.lora, $0, $0) }
        + ["cat-toy", "cat-toy-xl"].map { adapter(.embedding, "<\($0)>", $0) }

    static func adapter(
        _ kind: Adapters.Kind, _ name: String, _ file: String
    ) -> Adapters.Source {
        Adapters.Source(
            kind: kind, name: name, path: folder + "/../adapters/\(file).safetensors")
    }

    /// One registry and engine for all tests.
    static let engine = Result {
        Engine(
            registry: try ModelRegistry(
                sources: names.map {
                    ModelRegistry.Source(name: $0, path: folder + "/" + $0)
                }), threadCount: 2, adapters: try Adapters(adapters))
    }

    static func read(_ path: String) throws -> [UInt8] {
        let bytes = try MappedBytes.map(path: path)
        try bytes.checkLength()
        return bytes.withUnsafeBytes { Array($0) }
    }

    static func cases(_ name: String) throws -> [Case] {
        let document = try JSONValue.parse(read("\(folder)/\(name)/expected.json"))
        let cases = try #require(document["cases"]?.arrayValue)
        return try cases.enumerated().map { number, entry in
            Case(
                pipeline: name, number: number, op: try #require(entry["op"]?.stringValue),
                params: try #require(entry["params"]?.objectValue),
                outputs: try #require(entry["outputs"]?.objectValue).members.map {
                    ($0.key, $0.value.stringValue ?? "")
                },
                tokens: (entry["tokens"]?.arrayValue ?? []).map { encoder in
                    (encoder.arrayValue ?? []).map { row in
                        (row.arrayValue ?? []).compactMap(\.intValue)
                    }
                })
        }
    }

    static func expected(_ name: String) throws -> SafetensorsFile {
        let path = "\(folder)/\(name)/expected.safetensors"
        return try SafetensorsFile(bytes: .map(path: path), path: path)
    }

    /// The pictures that `pictures()` of the generator draws, as inputs.
    static let pictures: [Input] = [(40, 56), (28, 28), (64, 33)].enumerated().map {
        number, size in
        var bytes: [UInt8] = []
        for y in 0..<size.0 {
            for x in 0..<size.1 {
                for c in 0..<3 {
                    bytes.append(
                        UInt8((x * (5 + number) + y * 3 * (c + 1) + 40 * number) % 256))
                }
            }
        }
        return Input(
            TensorHeader(name: "images", datatype: .uint8, shape: [1, size.0, size.1, 3]),
            Frame(bytes))
    }

    static func call(
        _ op: String, _ params: JSONObject, inputs: [Input] = [], model: String
    ) throws -> Reply {
        let request = Request(
            id: "t", op: op, model: model, params: params, inputs: inputs,
            receivedAt: monotonicNow())
        let answer = Monitor<Reply?>(nil)
        try engine.get().handle(request) { reply in answer.update { $0 = reply } }
        return answer.wait { $0 }
    }
}
