import Daemon
import Encoders
import Glibc
import IPC
import JSON
import Serving
import System
import Testing

/// A model whose token table is not CLIP's, and that brings no tokenizer.
@Suite struct MissingTokenizerTests {
    private static let path: String = {
        let file = #filePath
        return file.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }
            + "/EncodersTests/Fixtures/formats/sd1.safetensors"
    }()

    private static let requests: [String: JSONObject] = [
        "condition": ["prompts": ["a cat"], "recipe": "sd1"],
        "embed_text": ["texts": ["a cat"]], "tokenize": ["texts": ["a cat"]],
    ]

    @Test(arguments: ["condition", "embed_text", "tokenize"])
    func saysWhyThereIsNone(_ op: String) throws {
        let params = try #require(Self.requests[op])
        let registry = try ModelRegistry(sources: [.init(name: "m", path: Self.path)])
        #expect(
            registry.defaultModel.missingTokenizers == [
                "clip_l: its token table has 60 rows, CLIP's vocabulary 49408 tokens"
            ])
        let engine = Engine(registry: registry, threadCount: 1)
        let answer = Monitor<Reply?>(nil)
        engine.handle(
            Request(
                id: "t", op: op, model: "m", params: params, inputs: [],
                receivedAt: monotonicNow())
        ) { reply in answer.update { $0 = reply } }
        let error = try #require(answer.wait { $0 }.error)
        #expect(error.code == .badRequest)
        #expect(error.message.contains("tokenizer"), "\(error.message)")
        #expect(error.message.contains("60 rows"), "\(error.message)")
    }
}
