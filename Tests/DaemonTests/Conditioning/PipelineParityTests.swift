import Daemon
import Encoders
import IPC
import JSON
import Testing

@Suite("condition against diffusers")
struct PipelineParityTests {
    /// numerics.md: max abs error ≤ 2e-4 · max abs value, cosine ≥ 0.999999.
    private static let tolerance = 2e-4

    @Test("outputs equal encode_prompt's, tokens equal", arguments: PipelineFixture.names)
    func parity(_ name: String) throws {
        let expected = try PipelineFixture.expected(name)
        for entry in try PipelineFixture.cases(name) {
            let inputs = entry.op == "condition_image" ? PipelineFixture.pictures : []
            let reply = try PipelineFixture.call(
                entry.op, entry.params, inputs: inputs, model: name)
            #expect(reply.error == nil, "\(entry)")
            for (output, tensor) in entry.outputs {
                let shape = try #require(expected.shape(of: tensor))
                #expect(reply.shape(output) == shape, "\(entry), \(output)")
                try expectClose(
                    try reply.floats(output), try expected.floats(tensor, shape: shape),
                    "\(entry), \(output)")
            }
            for (number, encoder) in entry.tokens.enumerated() {
                for (index, ids) in encoder.enumerated() {
                    let rows = reply.result["prompts"]?.arrayValue?[index]["encoders"]?
                        .arrayValue?[number]["texts"]?.arrayValue?[0]["rows"]?
                        .arrayValue
                    let tokens = rows?.first?["tokens"]?.arrayValue?.compactMap(\.intValue)
                    #expect(tokens == ids, "\(entry), prompt \(index), encoder \(number)")
                }
            }
        }
    }

    private func expectClose(
        _ observed: [Float], _ expected: [Float], _ what: String
    ) throws {
        try #require(observed.count == expected.count, "\(what)")
        var largest = 0.0
        var difference = 0.0
        var (oo, oe, ee) = (0.0, 0.0, 0.0)
        for (o, e) in zip(observed, expected) {
            let (o, e) = (Double(o), Double(e))
            difference = o.isFinite ? max(difference, abs(o - e)) : .infinity
            largest = max(largest, abs(e))
            oo += o * o
            oe += o * e
            ee += e * e
        }
        #expect(difference <= Self.tolerance * largest, "\(what): \(difference) of \(largest)")
        #expect(oo == 0 && ee == 0 || oe / (oo * ee).squareRoot() >= 0.999999, "\(what)")
    }
}
