import ArgumentParser
import Daemon
import Encoders
import JSON
import Testing

@Suite("The condition command")
struct ConditionCommandTests {
    private func run(_ arguments: [String]) throws -> (output: String, errors: String) {
        let memory = MemoryConsole()
        let command = try #require(
            try Guidanced.parseAsRoot(["condition"] + arguments) as? ConditionCommand)
        try command.prepare()
        let status = try command.execute(try command.open(memory.console), memory.console)
        #expect(status == .success)
        return (memory.output.text, memory.errors.text)
    }

    private static let sdxl = PipelineFixture.folder + "/sdxl"

    @Test("writes both kinds of archive with the same numbers, and accounts for the tokens")
    func archives() throws {
        let folder = try TemporaryFolder()
        let arguments = [
            "a (red:1.3) circle", "two", "--negative", "bad", "--syntax", "a1111", "--recipe",
            "sdxl", "--model", Self.sdxl, "--width", "640", "--threads", "1",
        ]
        let table = try run(arguments + ["--out", "\(folder.path)/a.safetensors"]).output
        #expect(table.contains("clip_l") && table.contains("hidden_states: 2 × 77 × 72"))
        #expect(table.contains("− bad"))
        let path = "\(folder.path)/a.safetensors"
        let file = try SafetensorsFile(bytes: .map(path: path), path: path)
        #expect(
            Set(file.tensorNames) == [
                "hidden_states", "pooled", "negative_hidden_states", "negative_pooled",
                "time_ids", "negative_time_ids",
            ])
        #expect(
            try file.floats("time_ids", shape: [2, 6])
                == [1024, 640, 0, 0, 1024, 640, 1024, 640, 0, 0, 1024, 640])
        _ = try run(arguments + ["--out", "\(folder.path)/a.npz"])
        let archive = try PipelineFixture.read("\(folder.path)/a.npz")
        let hidden = try file.floats("hidden_states", shape: [2, 77, 72])
        let bytes = hidden.withUnsafeBytes { Array($0) }
        #expect(archive.starts(with: [0x50, 0x4b, 3, 4]))
        #expect(archive.count > bytes.count)
        // The first file of the archive is stored as it is.
        let start = try #require(
            archive.indices.first { archive[$0...].starts(with: bytes.prefix(64)) })
        #expect(archive[start...].starts(with: bytes))
    }

    @Test("prints everything as JSON, with LoRAs and textual inversions of files")
    func document() throws {
        let adapters = PipelineFixture.folder + "/../adapters"
        let text = try run([
            "a <cat>", "--recipe", "sd1", "--model", PipelineFixture.folder + "/sd1", "--format",
            "json", "--load-lora", "ink=\(adapters)/ink.safetensors", "--lora", "ink=0.5",
            "--load-embedding", "<cat>=\(adapters)/cat-toy.safetensors", "--threads", "1",
        ]).output
        let document = try JSONValue.parse(Array(text.utf8))
        #expect(document["loras"]?.arrayValue?.first?["strength"]?.doubleValue == 0.5)
        let row = document["prompts"]?.arrayValue?[0]["encoders"]?.arrayValue?[0]["texts"]?
            .arrayValue?[0]["rows"]?.arrayValue?[0]
        #expect(row?["content"]?.intValue == 3)
        #expect(row?["embeddings"]?.arrayValue?.count == 2)
    }

    @Test(
        "wrong arguments are refused before a model is loaded",
        arguments: [
            ["a", "--out", "a.txt"], ["a", "--lora", "=1"], ["a", "--lora", "ink=x"],
            ["a", "--syntax", "latex"], ["a", "--load-lora", "ink"],
            ["a", "--load-lora", " a=c"],
            ["a", "--connect", "ipc:///x", "--load-lora", "ink=c"], [],
        ])
    func arguments(_ arguments: [String]) {
        #expect(throws: (any Error).self) {
            try Guidanced.parseAsRoot(["condition"] + arguments)
        }
    }
}
