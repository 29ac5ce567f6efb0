import Encoders
import Glibc
import JSON
import Testing

/// What `guidanced convert` writes; `Tests/Parity/converted.py` loads it with transformers.
@Suite struct TransformersExportTests {
    /// Where a directory may be made; what is made is removed.
    private final class Place {
        let folder: TemporaryDirectory
        let path: String

        init() throws {
            folder = try TemporaryDirectory()
            path = folder.path + "/made"
        }

        deinit {
            guard let files = try? CheckpointFiles.directory(path) else { return }
            for name in files.names { unlink(path + "/" + name) }
            rmdir(path)
        }
    }

    static let sources =
        FormatFixture.names.map { "formats/" + $0 } + GGUFTests.names.map { "gguf/\($0).gguf" }
        + CheckpointLoadingTests.fixtures.map { "models/" + $0 }

    @Test(arguments: sources)
    func isReadBackBitForBit(_ name: String) throws {
        let contents = try CheckpointContents.open(FormatFixture.path("../" + name))
        for tower in contents.towers {
            let place = try Place()
            let export = try TransformersExport(tower)
            try export.write(to: place.path)
            let back = try CheckpointTower.directory(.directory(place.path), role: tower.role)
            #expect(try FormatFixture.digests(back) == FormatFixture.digests(tower))
            #expect(Set(try CheckpointFiles.directory(place.path).names) == Set(export.names))
            let before = tower.configuration
            let after = back.configuration
            #expect(after.text?.activation == before.text?.activation)
            #expect(after.text?.heads == before.text?.heads)
            #expect(after.text?.eps == before.text?.eps)
            #expect(after.text?.endToken == before.text?.endToken)
            #expect(after.vision == before.vision)
            #expect(try back.preprocessing()?.mean == tower.preprocessing()?.mean)
            #expect(try back.tokenizer()?.padToken == tower.tokenizer()?.padToken)
            // Both towers are there: the scale is what was stored.
            if before.text != nil, before.vision != nil {
                #expect(try CLIPModel.load(back).logitScale == CLIPModel.load(tower).logitScale)
            }
        }
    }

    @Test(arguments: [
        ("models/transformers-gelu-f16", StoredType.f16),
        ("models/transformers-shards-bf16", .bf16), ("models/transformers-patch7", .f32),
        ("gguf/q8_0.gguf", .f32), ("formats/sd1.ckpt", .f16),
    ])
    func keepsTheNarrowestTypeThatIsExact(_ name: String, _ type: StoredType) throws {
        let tower = try CheckpointContents.tower(at: FormatFixture.path("../" + name))
        #expect(try TransformersExport(tower).type == type)
    }

    @Test func writesTheBuiltInTokenizerOut() throws {
        // A vocabulary of CLIP's size makes a large embedding, so one position and no depth.
        var builder = SafetensorsBuilder()
        let prefix = "conditioner.embedders.0.model."
        func add(_ name: String, _ shape: [Int]) {
            builder.add(
                prefix + name, shape: shape,
                [Float](repeating: 0.5, count: shape.reduce(1, *)))
        }
        add("token_embedding.weight", [49_408, 64])
        add("positional_embedding", [8, 64])
        let block = "transformer.resblocks.0."
        for norm in ["ln_1", "ln_2"] {
            add(block + norm + ".weight", [64])
            add(block + norm + ".bias", [64])
        }
        add(block + "attn.in_proj_weight", [192, 64])
        add(block + "attn.in_proj_bias", [192])
        add(block + "attn.out_proj.weight", [64, 64])
        add(block + "attn.out_proj.bias", [64])
        add(block + "mlp.c_fc.weight", [16, 64])
        add(block + "mlp.c_fc.bias", [16])
        add(block + "mlp.c_proj.weight", [64, 16])
        add(block + "mlp.c_proj.bias", [64])
        add("ln_final.weight", [64])
        add("ln_final.bias", [64])
        add("text_projection", [64, 32])
        let contents = try CheckpointContents.file(MappedBytes(builder.file()), path: "x")
        let tower = try #require(contents.tower(.clipG))
        let place = try Place()
        try TransformersExport(tower).write(to: place.path)
        let files = try CheckpointFiles.directory(place.path)
        let own = try BytePairTokenizer.load(files, cleaning: .transformers)
        let built = try #require(try tower.tokenizer())
        #expect(own.padToken == 0)
        #expect(own.vocabularySize == 49_408)
        let texts = ["a photo of a cat", "Ünïcödé 42!", "naïve — “quotes”", "<|endoftext|>"]
        for text in texts {
            #expect(own.encode(text) == built.encode(text))
        }
        #expect(built.padToken == 0)
        // The pad token is special, also where it stands in a text.
        #expect(built.encode("42!").last == 0)
        #expect(BytePairTokenizer.clip(cleaning: .transformers).encode("42!").last == 256)
    }

    @Test func overwritesNothing() throws {
        let tower = try CheckpointContents.tower(at: FormatFixture.path("sd1.safetensors"))
        let export = try TransformersExport(tower)
        let folder = try TemporaryDirectory()
        try folder.write("file", [1])
        for path in [folder.path, folder.path + "/file", folder.path + "/none/made", ""] {
            let error = #expect(throws: EncoderError.self) { try export.write(to: path) }
            guard case .file = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
        #expect(try CheckpointFiles.directory(folder.path).names == ["file"])
    }
}
