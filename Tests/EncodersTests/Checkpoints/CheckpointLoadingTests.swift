import Encoders
import Glibc
import JSON
import Testing

@Suite struct CheckpointLoadingTests {
    static let fixtures = [
        "transformers-patch7", "transformers-gelu-f16", "transformers-shards-bf16",
        "transformers-legacy-dicts", "transformers-defaults", "transformers-text-projected",
        "transformers-text-bare", "transformers-image-projected", "open-clip-gelu",
        "open-clip-custom-text",
    ]

    private func load(_ files: [String: [UInt8]]) throws -> LoadedWeights {
        try LoadedWeights(.memory(files, path: "memory"))
    }

    @Test(arguments: fixtures)
    func loadsEveryFixture(_ name: String) throws {
        let loaded = try LoadedWeights(.directory(Fixture.models + "/" + name))
        #expect((loaded.text != nil) == (loaded.configuration.text != nil))
        #expect((loaded.vision != nil) == (loaded.configuration.vision != nil))
        #expect(loaded.text != nil || loaded.vision != nil)
    }

    @Test func aSharpenedScaleIsExponentiated() throws {
        let loaded = try LoadedWeights(.directory(Fixture.models + "/transformers-patch7"))
        #expect(abs(loaded.logitScale - Float(exp(3.1))) < 1e-4)
    }

    @Test func fusesQueryKeyAndValueInThisOrder() throws {
        let files = try Fixture.files("transformers-patch7")
        let loaded = try load(files)
        let tensors = try SafetensorsFile(
            bytes: MappedBytes(try #require(files["model.safetensors"])), path: "t")
        let width = 32
        let layer = try #require(loaded.text?.layers.first)
        for (index, letter) in ["q", "k", "v"].enumerated() {
            let stem = "text_model.encoder.layers.0.self_attn.\(letter)_proj"
            let size = width * width
            #expect(
                try Array(layer.qkvWeight[index * size..<(index + 1) * size])
                    == tensors.floats(stem + ".weight", shape: [width, width]))
            #expect(
                try Array(layer.qkvBias[index * width..<(index + 1) * width])
                    == tensors.floats(stem + ".bias", shape: [width]))
        }
    }

    @Test func turnsOpenCLIPsProjectionsRound() throws {
        let files = try Fixture.files("open-clip-gelu")
        let loaded = try load(files)
        let tensors = try SafetensorsFile(
            bytes: MappedBytes(try #require(files["open_clip_model.safetensors"])), path: "t")
        let stored = try tensors.floats("visual.proj", shape: [39, 22])
        let projection = try #require(loaded.vision?.projection)
        var turned: [Float] = []
        for row in 0..<22 {
            for column in 0..<39 { turned.append(stored[column * 22 + row]) }
        }
        #expect(projection == turned)
    }

    // MARK: what is no model

    @Test func saysWhatItLookedForWhereThereIsNoModel() throws {
        let folder = try TemporaryDirectory()
        let error = #expect(throws: EncoderError.self) {
            try LoadedWeights(.directory(folder.path))
        }
        #expect(error?.description.contains("config.json") == true)
        #expect(error?.description.contains("open_clip_config.json") == true)
        #expect(error?.description.contains(folder.path) == true)
    }

    @Test func saysThatAPathIsMissingOrNoDirectory() throws {
        let folder = try TemporaryDirectory()
        try folder.write("file", [1])
        #expect(throws: EncoderError.self) { try CheckpointFiles.directory(folder.path + "/none") }
        #expect(throws: EncoderError.self) { try CheckpointFiles.directory(folder.path + "/file") }
        #expect(throws: EncoderError.self) { try CheckpointFiles.directory("") }
        #expect(throws: EncoderError.self) { try CheckpointFiles.directory("a\u{0}b") }
    }

    @Test(arguments: ["../secret", "/etc/passwd", "", ".", "..", "a\u{0}"])
    func staysInItsDirectory(_ name: String) throws {
        let files = try CheckpointFiles.directory(Fixture.models + "/transformers-patch7")
        #expect(throws: EncoderError.self) { try files.bytes(named: name) }
    }

    @Test func readsWeightsByTheirContentAndNotTheirName() throws {
        var files = try Fixture.files("transformers-patch7")
        let expected = try load(files)
        files["pytorch_model.bin"] = files.removeValue(forKey: "model.safetensors")
        #expect(try load(files).text == expected.text)
    }

    @Test func namesTheGlobalOfAPickleThatWouldRun() throws {
        var files = try Fixture.files("transformers-patch7")
        files["model.safetensors"] = nil
        let call = PickleText.global("posix", "system") + PickleText.tuple(PickleText.text("ls"))
        files["pytorch_model.bin"] = PickleText.file(call + Array("R".utf8))
        let error = #expect(throws: EncoderError.self) { try load(files) }
        guard case .unsupported(let what, _, "the global \"posix.system\"") = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(what.contains("memory/pytorch_model.bin"))
    }

    @Test func takesTheLayoutThatIsComplete() throws {
        var files = try Fixture.files("open-clip-gelu")
        files["config.json"] = try Fixture.files("transformers-patch7")["config.json"]
        #expect(try load(files).configuration.layout == .openCLIP)
        files["model.safetensors"] = try Fixture.files("transformers-patch7")["model.safetensors"]
        #expect(try load(files).configuration.layout == .transformers)
    }

    // MARK: tensors that do not fit the configuration

    /// The weights of `transformers-patch7` with one change.
    private func edited(
        _ change: (inout SafetensorsBuilder) -> Void
    ) throws -> [String: [UInt8]] {
        var files = try Fixture.files("transformers-patch7")
        let source = try SafetensorsFile(
            bytes: MappedBytes(try #require(files["model.safetensors"])), path: "t")
        var builder = SafetensorsBuilder()
        for name in source.tensorNames {
            let shape = try #require(source.shape(of: name))
            builder.add(name, shape: shape, try source.floats(name, shape: shape))
        }
        change(&builder)
        files["model.safetensors"] = builder.file()
        return files
    }

    private func expectTensorError(
        _ name: String, expected: String? = nil, actual: String? = nil,
        _ change: (inout SafetensorsBuilder) -> Void
    ) throws {
        let files = try edited(change)
        let error = #expect(throws: EncoderError.self) { try load(files) }
        guard case .tensor("memory/model.safetensors", name, let wanted, let found) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        if let expected { #expect(wanted == expected) }
        if let actual { #expect(found == actual) }
    }

    @Test func anUnchangedCopyLoads() throws {
        _ = try load(edited { _ in })
    }

    @Test(arguments: [
        "logit_scale", "visual_projection.weight", "text_projection.weight",
        "vision_model.pre_layrnorm.bias", "vision_model.embeddings.class_embedding",
        "text_model.encoder.layers.1.mlp.fc2.bias", "text_model.final_layer_norm.weight",
    ])
    func namesAMissingTensor(_ name: String) throws {
        try expectTensorError(name, actual: "no such tensor") { builder in
            builder.tensors.removeAll { $0.name == name }
        }
    }

    @Test func namesAMisshapedTensor() throws {
        let name = "vision_model.embeddings.position_embedding.weight"
        try expectTensorError(name, expected: "shape [26, 36]", actual: "shape [25, 36]") {
            builder in
            guard let index = builder.tensors.firstIndex(where: { $0.name == name }) else { return }
            builder.tensors[index].shape = [25, 36]
            builder.tensors[index].bytes.removeLast(36 * 4)
        }
    }

    @Test(arguments: [
        "text_model.encoder.layers.2.mlp.fc2.bias", "vision_model.embeddings.patch_embedding.bias",
        "text_projection.bias",
    ])
    func namesATensorThatTheConfigurationDoesNotKnow(_ name: String) throws {
        try expectTensorError(
            name, expected: "no such tensor by the configuration", actual: "one of shape [2]"
        ) { $0.add(name, shape: [2], [1, 2]) }
    }

    @Test func ignoresBuffersAndStrangers() throws {
        let files = try edited { builder in
            builder.add(
                "text_model.embeddings.position_ids", type: "I64", shape: [1, 1],
                bytes: littleEndian(Int64(0)))
            builder.add("vision_model.embeddings.position_ids", shape: [1], [.nan])
            builder.add("unet.conv_in.weight", shape: [1], [1])
        }
        _ = try load(files)
    }

    @Test func namesTheTensorWithAnInfiniteWeight() throws {
        let name = "text_model.encoder.layers.0.mlp.fc1.weight"
        try expectTensorError(
            name, expected: "finite values", actual: "inf at element 2"
        ) { builder in
            guard let index = builder.tensors.firstIndex(where: { $0.name == name }) else { return }
            builder.tensors[index].bytes.replaceSubrange(
                8..<12, with: littleEndian(Float.infinity.bitPattern))
        }
    }

    @Test func refusesAScaleThatOverflows() throws {
        try expectTensorError("logit_scale", actual: "1000.0") { builder in
            guard let index = builder.tensors.firstIndex(where: { $0.name == "logit_scale" }) else {
                return
            }
            builder.tensors[index].bytes = littleEndian(Float(1_000).bitPattern)
        }
    }

    @Test func refusesTheCheckpointCutShortAnywhere() throws {
        var files = try Fixture.files("transformers-patch7")
        let whole = try #require(files["model.safetensors"])
        for count in stride(from: 0, to: whole.count, by: max(1, whole.count / 200)) {
            files["model.safetensors"] = Array(whole.prefix(count))
            #expect(throws: EncoderError.self, "cut at \(count)") { try load(files) }
        }
    }

    // MARK: shards

    private let index = "model.safetensors.index.json"

    @Test func namesAMissingShard() throws {
        var files = try Fixture.files("transformers-shards-bf16")
        let shard = "model-00002-of-00007.safetensors"
        files[shard] = nil
        let error = #expect(throws: EncoderError.self) { try load(files) }
        guard case .file(let path, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(path == "memory/" + shard)
    }

    @Test func namesATensorThatIsInAnotherShardThanTheIndexSays() throws {
        var files = try Fixture.files("transformers-shards-bf16")
        var document = try JSONValue.parse(try #require(files[index])).objectValue
        var map = try #require(document?["weight_map"]?.objectValue)
        let tensor = try #require(map.keys.first)
        let elsewhere = map[tensor]?.stringValue == "model-00001-of-00007.safetensors" ? 2 : 1
        map[tensor] = .string("model-0000\(elsewhere)-of-00007.safetensors")
        document?["weight_map"] = .object(map)
        files[index] = JSONValue.object(try #require(document)).serialized()
        let error = #expect(throws: EncoderError.self) { try load(files) }
        guard case .tensor(_, tensor, _, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func namesATensorThatTheIndexDoesNotList() throws {
        var files = try Fixture.files("transformers-shards-bf16")
        var document = try JSONValue.parse(try #require(files[index])).objectValue
        var map = try #require(document?["weight_map"]?.objectValue)
        let tensor = try #require(map.keys.first)
        map[tensor] = nil
        document?["weight_map"] = .object(map)
        files[index] = JSONValue.object(try #require(document)).serialized()
        let error = #expect(throws: EncoderError.self) { try load(files) }
        guard case .tensor(_, tensor, _, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test(arguments: [
        "{}", "[]", "{\"weight_map\":3}", "{\"weight_map\":{\"a\":3}}", "{",
        "{\"weight_map\":{\"a\":\"../model.safetensors\"}}",
    ])
    func refusesADamagedIndex(_ text: String) throws {
        var files = try Fixture.files("transformers-shards-bf16")
        files[index] = Array(text.utf8)
        #expect(throws: EncoderError.self) { try load(files) }
    }
}
