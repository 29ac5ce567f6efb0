import Daemon
import Encoders
import IPC
import JSON
import Serving
import System
import Testing

/// What of the conditioning cache survives when adapters come and go.
@Suite struct AdapterChangeTests {
    private typealias F = PipelineFixture

    private static let engine = Result {
        Engine(
            registry: try ModelRegistry(
                sources: [ModelRegistry.Source(name: "sd1", path: F.folder + "/sd1")]),
            threadCount: 2, adapters: try Adapters([F.adapter(.lora, "ink", "ink")]))
    }

    private func call(_ engine: Engine, _ op: String, _ params: JSONObject) -> Reply {
        let answer = Monitor<Reply?>(nil)
        let request = Request(
            id: "t", op: op, params: params, receivedAt: monotonicNow(), isControl: true)
        engine.handle(request) { reply in answer.update { $0 = reply } }
        return answer.wait { $0 }
    }

    private func rows(_ reply: Reply) throws -> Int {
        #expect(reply.error == nil)
        return try #require(reply.result["cache"]?["rows"]?.intValue)
    }

    @Test func loadingAndUnloadingLeavesThePromptsThatDoNotNameIt() throws {
        let engine = try AdapterChangeTests.engine.get()
        let plain: JSONObject = ["prompts": ["a red barn"], "syntax": "comfy"]
        let naming: JSONObject = [
            "prompts": ["a painting of embedding:cat-toy"], "syntax": "comfy",
        ]
        let inked: JSONObject = [
            "prompts": ["a blue door"], "loras": [["name": "ink", "strength": 0.5]],
        ]
        #expect(try rows(call(engine, "condition", plain)) > 0)
        let without = call(engine, "condition", naming)
        #expect(try rows(without) > 0)
        let weak = call(engine, "condition", inked)
        #expect(try rows(weak) > 0)
        let path = F.folder + "/../adapters/"
        let load = call(
            engine, "load",
            ["kind": "embedding", "name": "cat-toy", "path": .string(path + "cat-toy.safetensors")])
        #expect(load.error == nil)
        // Nothing of it is run again but the prompt that names what was loaded.
        #expect(try rows(call(engine, "condition", plain)) == 0)
        #expect(try rows(call(engine, "condition", inked)) == 0)
        let with = call(engine, "condition", naming)
        #expect(try rows(with) > 0)
        #expect(
            try with.floats("hidden_states") != without.floats("hidden_states"))
        // Another file under the same name is another LoRA.
        let other = call(
            engine, "load",
            ["kind": "lora", "name": "ink", "path": .string(path + "wash.safetensors")])
        #expect(other.error == nil)
        let changed = call(engine, "condition", inked)
        #expect(try rows(changed) > 0)
        #expect(try changed.floats("hidden_states") != weak.floats("hidden_states"))
        #expect(try rows(call(engine, "condition", plain)) == 0)
        let unload = call(engine, "unload", ["kind": "embedding", "name": "cat-toy"])
        #expect(unload.error == nil)
        let again = call(engine, "condition", naming)
        #expect(try again.floats("hidden_states") == without.floats("hidden_states"))
        #expect(try rows(call(engine, "condition", plain)) == 0)
    }

    @Test(arguments: [
        ("a (CAT-TOY:1.2) b", true), ("a cat toy", true), ("a cat", false),
        ("&lt;cat-toy&gt;", true), ("\u{FF43}at toy", true), ("", false), ("cattle toys", false),
    ])
    func aNameIsFoundHoweverItIsWritten(text: String, isFound: Bool) throws {
        let adapters = try Adapters([F.adapter(.embedding, "<cat-toy>", "cat-toy")])
        #expect(adapters.snapshot.serials(namedIn: ["", text]).isEmpty == !isFound)
    }
}
