import Encoders
import JSON
import Testing

/// Every form of checkpoint against the libraries that wrote it (`Tests/Generators/formats.py`).
@Suite struct CheckpointContentsTests {
    @Test func thereAreFixtures() {
        #expect(FormatFixture.names.count >= 16)
    }

    @Test(arguments: FormatFixture.names)
    func holdsTheReferencesWeightsBitForBit(_ name: String) throws {
        let expected = try #require(FormatFixture.expected[name])
        let contents = try CheckpointContents.open(FormatFixture.path(name))
        #expect(contents.format.rawValue == expected["format"]?.stringValue)
        let towers = try #require(expected["towers"]?.objectValue)
        #expect(Set(contents.towers.map(\.role.rawValue)) == Set(towers.keys))
        let ignored = expected["ignored"]?.arrayValue ?? []
        #expect(contents.ignored == ignored.compactMap(\.stringValue))
        for tower in contents.towers {
            #expect(tower.container.rawValue == expected["container"]?.stringValue)
            var digests: [String: String] = [:]
            for (name, value) in towers[tower.role.rawValue]?.objectValue?.members ?? []
            where name != "logit_scale" {
                digests[name] = value.stringValue
            }
            #expect(try FormatFixture.digests(tower) == digests, "\(tower.role)")
        }
    }

    @Test(arguments: FormatFixture.names)
    func loadsAsAModel(_ name: String) throws {
        let contents = try CheckpointContents.open(FormatFixture.path(name))
        for tower in contents.towers {
            let model = try CLIPModel.load(tower)
            #expect((model.text != nil) == (tower.configuration.text != nil))
            #expect((model.image != nil) == (tower.configuration.vision != nil))
            #expect(model.fingerprint.count == 32)
            let named = try CLIPModel.load(
                path: FormatFixture.path(name) + "#" + tower.role.rawValue)
            #expect(named.fingerprint == model.fingerprint)
        }
    }

    @Test func aModelOfSeveralEncodersIsChosenByName() throws {
        let path = FormatFixture.path("sdxl.safetensors")
        let error = #expect(throws: EncoderError.self) { try CLIPModel.load(path: path) }
        #expect(error?.description.contains("clip_l, clip_g") == true)
        #expect(throws: EncoderError.self) { try CLIPModel.load(path: path + "#clip_h") }
        #expect(try CLIPModel.load(path: path + "#clip_g").configuration.text?.projection == 48)
    }

    @Test func infersFamiliesFromPlaces() throws {
        func text(_ name: String, _ role: EncoderRole) throws -> TextConfiguration {
            let contents = try CheckpointContents.open(FormatFixture.path(name))
            return try #require(contents.tower(role)?.configuration.text)
        }
        let l = try text("sdxl.safetensors", .clipL)
        #expect(l.activation == .quickGELU)
        #expect(l.padToken == 59)
        #expect(l.endToken == 59)
        #expect(l.heads == 1)
        #expect(l.mlpWidth == 96)
        #expect(l.projection == nil)
        let g = try text("sdxl.safetensors", .clipG)
        #expect(g.activation == .gelu)
        #expect(g.padToken == 0)
        #expect(g.projection == 48)
        #expect(try text("sd2.safetensors", .clipH).layers == 3)
        #expect(try text("sd3.safetensors", .clipL).projection == 40)
        let openAI = try CheckpointContents.open(FormatFixture.path("openai.pt"))
        let vision = try #require(openAI.tower(.clip)?.configuration.vision)
        #expect(vision.imageSize == 24)
        #expect(vision.patchSize == 8)
        #expect(vision.activation == .quickGELU)
        #expect(openAI.tower(.clip)?.configuration.text?.activation == .quickGELU)
    }

    @Test func saysWhatContentsCanBeUsedFor() throws {
        func uses(_ name: String) throws -> [CheckpointUse] {
            try CheckpointContents.open(FormatFixture.path(name)).uses
        }
        #expect(try uses("sd1.ckpt") == [.sd1, .fluxCLIP])
        #expect(try uses("sd2.safetensors") == [.sd2])
        #expect(try uses("sdxl.safetensors") == [.sd1, .sdxl, .sdxlRefiner, .fluxCLIP])
        #expect(try uses("refiner.safetensors") == [.sdxlRefiner])
        #expect(try uses("sd3.safetensors") == [.sd1, .sdxl, .sdxlRefiner, .sd3CLIP, .fluxCLIP])
        #expect(
            try uses("openai.pt")
                == [
                    .embedding, .gradient, .sd1, .sd2, .sdxlRefiner, .fluxCLIP, .unCLIP, .ipAdapter,
                ])
        #expect(
            try uses("diffusers-sdxl")
                == [.sd1, .sdxl, .sdxlRefiner, .fluxCLIP, .unCLIP, .ipAdapter])
    }

    @Test func takesTokenizersAndPreprocessingFromTheirFolders() throws {
        let contents = try CheckpointContents.open(FormatFixture.path("diffusers-sdxl"))
        #expect(contents.pipeline == "StableDiffusionXLPipeline")
        let first = try #require(try contents.tower(.clipL)?.tokenizer())
        let second = try #require(try contents.tower(.clipG)?.tokenizer())
        #expect(first.padToken == 573)
        #expect(second.padToken == 0)
        #expect(first.encode("a cat") == [320, 66, 64, 339])
        let preprocessing = try #require(try contents.tower(.imageEncoder)?.preprocessing())
        #expect(preprocessing.mean == [0.5, 0.25, 0.125])
    }

    // MARK: nothing else is read

    @Test(arguments: ["sdxl.safetensors", "sd1.ckpt", "sd3.safetensors", "refiner.safetensors"])
    func readsNothingButTheTowers(_ name: String) throws {
        let bytes = try MappedBytes.map(path: FormatFixture.path(name))
        let base: any TensorSource =
            name.hasSuffix(".ckpt")
            ? try TorchFile(bytes: bytes, path: name)
            : try SafetensorsFile(bytes: bytes, path: name)
        let source = AccountingSource(base)
        let contents = try CheckpointContents.tensors(source)
        #expect(source.read.isEmpty)
        for tower in contents.towers { _ = try tower.textWeights() }
        let prefixes = ["cond_stage_model.", "conditioner.", "text_encoders.clip_"]
        #expect(!source.read.isEmpty)
        #expect(source.read.allSatisfy { name in prefixes.contains { name.hasPrefix($0) } })
        #expect(source.read.count < base.tensorNames.count)
    }

    @Test(arguments: ["sd3.safetensors", "sdxl.safetensors", "openai.pt"])
    func survivesMutationOfItsNamesAndShapes(_ name: String) throws {
        let whole = try Fixture.read(FormatFixture.path(name))
        // Safetensors begins with names and shapes; a TorchScript archive ends with them.
        let isFirst = name.hasSuffix(".safetensors")
        let split = isFirst ? 12_000 : whole.count - 40_000
        let head = Array(whole.prefix(split))
        let tail = Array(whole.dropFirst(split))
        let summary = ByteFuzz.run(
            [isFirst ? head : tail], cases: ByteFuzz.cases(1_500), seed: 31
        ) { bytes throws(EncoderError) in
            let contents = try CheckpointContents.file(
                MappedBytes(isFirst ? bytes + tail : head + bytes), path: "fuzz")
            for tower in contents.towers {
                _ = try tower.textWeights()
                _ = try tower.visionWeights()
            }
        }
        print("contents fuzz \(name): \(summary)")
        #expect(summary.refused > 500)
    }

    // MARK: towers without a configuration

    /// One layer of a text tower under transformers' names.
    private func lone(width: Int) -> SafetensorsBuilder {
        var builder = SafetensorsBuilder()
        func add(_ name: String, _ shape: [Int]) {
            builder.add(
                name, shape: shape, [Float](repeating: 0.5, count: shape.reduce(1, *)))
        }
        add("text_model.embeddings.token_embedding.weight", [40, width])
        add("text_model.embeddings.position_embedding.weight", [8, width])
        for norm in ["encoder.layers.0.layer_norm1", "encoder.layers.0.layer_norm2"] {
            add("text_model.\(norm).weight", [width])
            add("text_model.\(norm).bias", [width])
        }
        for matrix in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            add("text_model.encoder.layers.0.self_attn.\(matrix).weight", [width, width])
            add("text_model.encoder.layers.0.self_attn.\(matrix).bias", [width])
        }
        add("text_model.encoder.layers.0.mlp.fc1.weight", [16, width])
        add("text_model.encoder.layers.0.mlp.fc1.bias", [16])
        add("text_model.encoder.layers.0.mlp.fc2.weight", [width, 16])
        add("text_model.encoder.layers.0.mlp.fc2.bias", [width])
        add("text_model.final_layer_norm.weight", [width])
        add("text_model.final_layer_norm.bias", [width])
        return builder
    }

    @Test(arguments: [
        (768, EncoderRole.clipL, Activation.quickGELU, 12), (1_024, .clipH, .gelu, 16),
        (1_280, .clipG, .gelu, 20),
    ])
    func knowsALoneTextTowerByItsWidth(
        _ width: Int, _ role: EncoderRole, _ activation: Activation, _ heads: Int
    ) throws {
        let contents = try CheckpointContents.file(
            MappedBytes(lone(width: width).file()), path: "clip.safetensors")
        let tower = try #require(contents.towers.first)
        #expect(contents.format == .textEncoder)
        #expect(tower.role == role)
        #expect(tower.configuration.text?.activation == activation)
        #expect(tower.configuration.text?.heads == heads)
        #expect(try tower.textWeights()?.layers.count == 1)
    }

    @Test func asksForAConfigurationWhereTheActivationIsUnknown() throws {
        let file = MappedBytes(lone(width: 512).file())
        let error = #expect(throws: EncoderError.self) {
            try CheckpointContents.file(file, path: "x.safetensors")
        }
        #expect(error?.description.contains("config.json") == true)
        #expect(error?.description.contains("512 wide") == true)
    }

    /// `state_dict()` of OpenAI's module, and the same without one of its numbers.
    @Test(arguments: [[], ["input_resolution"], ["context_length"], ["vocab_size"]])
    func knowsOpenAIsStateDictionaryByItsNumbers(_ missing: [String]) throws {
        let path = FormatFixture.path("openai.pt")
        let module = try TorchFile(bytes: MappedBytes.map(path: path), path: path)
        var builder = SafetensorsBuilder()
        // The causal mask is no weight, and infinite.
        for name in module.tensorNames
        where name != "attn_mask" && module.storedType(of: name)?.holdsWeights == true {
            let shape = try #require(module.shape(of: name))
            builder.add(name, shape: shape, try module.floats(name, shape: shape))
        }
        for (name, value) in [("input_resolution", 24), ("context_length", 12), ("vocab_size", 60)]
        where !missing.contains(name) {
            builder.add(name, shape: [], [Float(value)])
        }
        let file = MappedBytes(builder.file())
        guard missing.isEmpty else {
            let error = #expect(throws: EncoderError.self) {
                try CheckpointContents.file(file, path: "x.pt")
            }
            #expect(error?.description.contains("open_clip_config.json") == true)
            return
        }
        let contents = try CheckpointContents.file(file, path: "x.pt")
        let original = try CheckpointContents.open(path)
        #expect(contents.format == .openAI)
        #expect(contents.towers[0].configuration == original.towers[0].configuration)
        #expect(
            try FormatFixture.digests(contents.towers[0])
                == FormatFixture.digests(original.towers[0]))
    }

    @Test func takesTheConfigurationBesideTheWeights() throws {
        let path = FormatFixture.path("transformers-bin")
        let file = try CheckpointContents.open(path + "/pytorch_model.bin")
        let folder = try CheckpointContents.open(path)
        #expect(file.format == .transformers)
        #expect(file.towers[0].configuration == folder.towers[0].configuration)
        #expect(
            try FormatFixture.digests(file.towers[0]) == FormatFixture.digests(folder.towers[0]))
    }

    @Test func namesTheFirstTensorsOfAFileWithoutATower() throws {
        var builder = SafetensorsBuilder()
        builder.add("unet.one", shape: [1], [1])
        let error = #expect(throws: EncoderError.self) {
            try CheckpointContents.file(MappedBytes(builder.file()), path: "x.safetensors")
        }
        #expect(error?.description.contains("\"unet.one\"") == true)
    }

    @Test func namesTheStoredTensorThatIsMissing() throws {
        let file = try SafetensorsFile(
            bytes: MappedBytes.map(path: FormatFixture.path("sdxl.safetensors")), path: "x")
        var builder = SafetensorsBuilder()
        let missing = "conditioner.embedders.1.model.transformer.resblocks.1.ln_2.bias"
        for name in file.tensorNames where name != missing && name.hasPrefix("conditioner") {
            let shape = try #require(file.shape(of: name))
            builder.add(name, shape: shape, try file.floats(name, shape: shape))
        }
        let contents = try CheckpointContents.file(MappedBytes(builder.file()), path: "x")
        _ = try contents.tower(.clipL)?.textWeights()
        let error = #expect(throws: EncoderError.self) {
            try contents.tower(.clipG)?.textWeights()
        }
        guard case .tensor("x", missing, _, "no such tensor") = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test(arguments: ["{}", "[]", "{\"text_encoder\": [\"transformers\", \"CLIPTextModel\"]}"])
    func refusesAPipelineWithoutItsParts(_ index: String) throws {
        let folder = try TemporaryDirectory()
        try folder.write("model_index.json", Array(index.utf8))
        #expect(throws: EncoderError.self) { try CheckpointContents.open(folder.path) }
    }
}
