import Daemon
import Encoders
import Glibc
import IPC
import JSON
import Serving
import System
import Testing

/// An engine on the default model, and requests to it.
struct EngineFixture {
    let engine: Engine

    /// The model is loaded once for all tests.
    static let registry = Result { try ModelRegistry(sources: [.embedded]) }

    init(threads: Int = 2) throws {
        engine = Engine(registry: try EngineFixture.registry.get(), threadCount: threads)
    }

    init(_ engine: Engine) { self.engine = engine }

    func call(
        _ op: String, _ params: JSONObject = [:], _ inputs: [Input] = [], model: String? = nil
    ) -> Reply {
        let answer = Monitor<Reply?>(nil)
        let request = Request(
            id: "t", op: op, model: model, params: params, inputs: inputs,
            receivedAt: monotonicNow())
        engine.handle(request) { reply in answer.update { $0 = reply } }
        return answer.wait { $0 }
    }

    /// A disc on a ground, as the PNG bytes of a file.
    static func disc(
        _ colour: [UInt8], on ground: [UInt8], side: Int = 64, radius: Double = 0.3
    ) throws -> [UInt8] {
        try PNGEncoder.encode(
            rgb: pixels(colour, on: ground, side: side, radius: radius), height: side, width: side)
    }

    static func pixels(
        _ colour: [UInt8], on ground: [UInt8], side: Int, radius: Double = 0.3
    ) -> [UInt8] {
        (0..<side * side).flatMap { index -> [UInt8] in
            let x = (Double(index % side) + 0.5) / Double(side) - 0.5
            let y = (Double(index / side) + 0.5) / Double(side) - 0.5
            return (x * x + y * y).squareRoot() < radius ? colour : ground
        }
    }

    static let red: [UInt8] = [225, 30, 35]
    static let green: [UInt8] = [30, 160, 60]
    static let blue: [UInt8] = [30, 70, 210]
    static let white: [UInt8] = [255, 255, 255]

    static func file(_ bytes: [UInt8]) -> Input {
        Input(name: "image", bytes: bytes, contentType: "image/png")
    }

    static func floats(_ shape: [Int], _ values: [Float]) -> Input {
        Input(name: "images", shape: shape, values: values)
    }
}

extension Reply {
    func floats(_ name: String) throws -> [Float] {
        let output = try #require(outputs.first { $0.header.name == name })
        return output.frame.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
    }

    func shape(_ name: String) -> [Int]? {
        outputs.first { $0.header.name == name }?.header.shape
    }
}
