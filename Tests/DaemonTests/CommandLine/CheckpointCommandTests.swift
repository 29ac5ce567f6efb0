import Daemon
import Encoders
import Glibc
import JSON
import Testing

/// `models inspect` and `convert`.
@Suite struct CheckpointCommandTests {
    private let memory = MemoryConsole()

    private static let fixtures: String = {
        let parts = "\(#filePath)".split(separator: "/", omittingEmptySubsequences: false)
        return parts.dropLast(3).joined(separator: "/") + "/EncodersTests/Fixtures/"
    }()

    private func inspect(_ name: String) throws -> JSONValue {
        let command = try parse(
            "models", "inspect", Self.fixtures + name, "--format", "json", as: InspectCommand.self)
        let memory = MemoryConsole()
        #expect(try command.execute(memory.console) == .success)
        return try JSONValue.parse(memory.output.text)
    }

    @Test func inspectTellsAPipelinesEncoders() throws {
        let document = try inspect("formats/diffusers-sdxl")
        #expect(document["kind"]?.stringValue == "encoders")
        #expect(document["format"]?.stringValue == "diffusers")
        #expect(document["pipeline"]?.stringValue == "StableDiffusionXLPipeline")
        #expect(document["uses"]?.arrayValue?.contains("sdxl") == true)
        let towers = try #require(document["towers"]?.arrayValue)
        #expect(
            towers.compactMap { $0["role"]?.stringValue } == ["clip_l", "clip_g", "image_encoder"])
        #expect(towers[0]["text"]?["pad_token"]?.intValue == 573)
        #expect(towers[1]["text"]?["pad_token"]?.intValue == 0)
        #expect(towers[2]["text"] == .null)
        #expect(towers[2]["preprocessing"]?.stringValue == "preprocessor_config.json")
        let storage = try #require(towers[0]["storage"]?.arrayValue?.first)
        #expect(storage["type"]?.stringValue == "F16")
        #expect(storage["parameters"]?.intValue == towers[0]["parameters"]?.intValue)
    }

    @Test func inspectKnowsAdapters() throws {
        let lora = try inspect("adapters/dora-rows.safetensors")
        #expect(lora["kind"]?.stringValue == "lora")
        #expect(lora["encoders"]?.arrayValue?.count == 2)
        #expect(lora["encoders"]?.arrayValue?.first?["dora"] == true)
        let inversion = try inspect("adapters/a1111.pt")
        #expect(inversion["kind"]?.stringValue == "textual-inversion")
        #expect(inversion["name"]?.stringValue == "my-cat")
        #expect(inversion["vectors"]?.arrayValue?.first?["tokens"]?.intValue == 3)
    }

    @Test(arguments: [
        ("formats/sdxl.safetensors", "sdxl, sdxl-refiner"), ("formats/openai.pt", "torchscript"),
        ("gguf/q4_0.gguf", "Q4_0"), ("adapters/sdxl.safetensors", "textual inversion"),
        ("adapters/kohya.pt", "rank 3"), ("formats/diffusers-flux", "T5EncoderModel"),
        ("formats/sd1.safetensors", "none: its token table has 60 rows"),
    ])
    func inspectReadsToPeople(_ name: String, _ expected: String) throws {
        let command = try parse(
            "models", "inspect", Self.fixtures + name, as: InspectCommand.self)
        #expect(try command.execute(memory.console) == .success)
        #expect(memory.output.text.contains(expected))
        #expect(memory.output.text.contains(Self.fixtures + name))
    }

    @Test func inspectKnowsTheBuiltInModel() throws {
        let command = try parse(
            "models", "inspect", "embedded:default", as: InspectCommand.self)
        #expect(try command.execute(memory.console) == .success)
        #expect(memory.output.text.contains("embedding, gradient"))
    }

    @Test func inspectNamesWhatIsWrong() throws {
        let folder = try TemporaryFolder()
        let path = try folder.write("x.bin", Array("\u{2}not weights".utf8))
        let command = try parse("models", "inspect", path, as: InspectCommand.self)
        #expect(throws: EncoderError.self) { try command.execute(memory.console) }
    }

    @Test func convertWritesADirectoryOnce() throws {
        let folder = try TemporaryFolder()
        let made = folder.path + "/made"
        let source = Self.fixtures + "formats/sdxl.safetensors#clip_g"
        let command = try parse("convert", source, made, as: ConvertCommand.self)
        #expect(try command.execute(memory.console) == .success)
        #expect(memory.output.text.contains("clip_g, 66,496 parameters as F16"))
        let names = try CheckpointFiles.directory(made).names
        #expect(names == ["config.json", "model.safetensors"])
        #expect(try CLIPModel.load(path: made).configuration.text?.projection == 48)
        #expect(throws: EncoderError.self) { try command.execute(memory.console) }
        for name in names { unlink(made + "/" + name) }
        rmdir(made)
    }

    @Test func convertAsksWhichEncoder() throws {
        let command = try parse(
            "convert", Self.fixtures + "formats/sdxl.safetensors", "/tmp/never",
            as: ConvertCommand.self)
        let error = #expect(throws: EncoderError.self) { try command.execute(memory.console) }
        #expect(error?.description.contains("clip_l, clip_g") == true)
    }
}
