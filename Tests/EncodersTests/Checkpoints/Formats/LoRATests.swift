import Encoders
import Testing

/// LoRA and DoRA against PEFT and diffusers (`Tests/Generators/adapters.py`).
@Suite struct LoRATests {
    private static let folder = FormatFixture.path("../adapters")

    private func open(_ name: String) throws -> LoRAFile {
        try LoRAFile.open(Self.folder + "/" + name)
    }

    private func base() throws -> (weights: TextWeights, sizes: TextConfiguration) {
        let tower = try #require(
            try CheckpointContents.open(Self.folder + "/base").towers.first)
        return (try #require(try tower.textWeights()), try #require(tower.configuration.text))
    }

    /// The largest difference to what the reference merged, relative to the largest value.
    private func error(_ weights: TextWeights, _ name: String) throws -> Double {
        let sizes = try base().sizes
        let path = Self.folder + "/\(name).merged.safetensors"
        let merged = try SafetensorsFile(bytes: MappedBytes.map(path: path), path: path)
        let original = try base().weights.transformersTensors(sizes)
        var largest = 0.0
        var seen = 0
        for (tensor, before) in zip(weights.transformersTensors(sizes), original) {
            guard merged.shape(of: tensor.name) != nil else {
                #expect(tensor == before, "\(tensor.name) changed")
                continue
            }
            seen += 1
            #expect(tensor.values != before.values)
            let expected = try merged.floats(tensor.name, shape: tensor.shape)
            let scale = expected.reduce(0) { max($0, abs($1)) }
            for (a, b) in zip(tensor.values, expected) {
                largest = max(largest, Double(abs(a - b) / scale))
            }
        }
        #expect(seen == merged.tensorNames.count)
        return largest
    }

    @Test(arguments: [
        ("peft.safetensors", "peft"), ("kohya.safetensors", "kohya"), ("kohya.pt", "kohya"),
        ("dora-rows.safetensors", "dora-rows"), ("dora-columns.safetensors", "dora-columns"),
        ("old-diffusers.safetensors", "old-diffusers"),
    ])
    func mergesAsTheReferenceDoes(_ file: String, _ reference: String) throws {
        let lora = try #require(try open(file).first)
        let merged = try base().weights.applying([(lora, 1)])
        let error = try error(merged, reference)
        print("lora \(file): relative error \(error)")
        #expect(error < 2e-6)
    }

    @Test func strengthsAddUp() throws {
        let weights = try base().weights
        let first = try #require(try open("peft.safetensors").first)
        let second = try #require(try open("kohya.safetensors").first)
        let both = try weights.applying([(first, 0.5), (second, -2)])
        let one = try weights.applying([(first, 1)])
        let two = try weights.applying([(second, 1)])
        for index in both.layers.indices {
            let original = weights.layers[index].qkvWeight
            for (place, value) in both.layers[index].qkvWeight.enumerated() {
                let expected =
                    original[place] + 0.5 * (one.layers[index].qkvWeight[place] - original[place])
                    - 2 * (two.layers[index].qkvWeight[place] - original[place])
                #expect(abs(value - expected) < 1e-5)
            }
        }
        #expect(try weights.applying([(first, 0), (second, 0)]) == weights)
        #expect(try weights.applying([]) == weights)
    }

    @Test func aHalfDoRAIsHalfWay() throws {
        let weights = try base().weights
        let lora = try #require(try open("dora-rows.safetensors").first)
        #expect(lora.isDoRA)
        let half = try weights.applying([(lora, 0.5)])
        let whole = try weights.applying([(lora, 1)])
        for (place, value) in half.layers[0].fc1Weight.enumerated() {
            let middle = (weights.layers[0].fc1Weight[place] + whole.layers[0].fc1Weight[place]) / 2
            #expect(abs(value - middle) < 1e-6)
        }
        #expect(try weights.applying([(lora, 0)]) == weights)
    }

    @Test func knowsTheEncodersOfAPair() throws {
        let pair = try open("dora-rows.safetensors")
        #expect(pair.first?.updates.count == 6)
        #expect(pair.second?.updates.count == 2)
        #expect(try pair.lora(for: .clipG, width: 32, isOnly: false) == pair.second)
        #expect(try pair.lora(for: .clipG, width: 32, isOnly: true) == pair.first)
        #expect(try pair.lora(for: .clipL, width: 32, isOnly: false) == pair.first)
        let kohya = try open("kohya.safetensors")
        #expect(kohya.second == nil)
        #expect(kohya.otherTensors == 2)
        #expect(kohya.first?.isDoRA == false)
    }

    // MARK: what does not fit

    private func file(_ tensors: [(String, [Int])]) throws -> LoRAFile {
        var builder = SafetensorsBuilder()
        for (name, shape) in tensors {
            builder.add(
                name, shape: shape, [Float](repeating: 0.25, count: shape.reduce(1, *)))
        }
        return try LoRAFile(bytes: MappedBytes(builder.file()), path: "x")
    }

    private static let stem = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"

    @Test(
        arguments: [
            [("lora_te_text_model_encoder_layers_0_self_attn_x.lora_down.weight", [2, 32])],
            [("lora_te_text_model_encoder_layers_x_mlp_fc1.lora_down.weight", [2, 32])],
            [(stem + ".hada_w1_a", [2, 32])], [(stem + ".lora_mid.weight", [2, 2])], [(stem, [1])],
            [(stem + ".lora_down.weight", [2, 32])], [(stem + ".alpha", [])],
            [(stem + ".lora_down.weight", [2, 32]), (stem + ".lora_up.weight", [32, 3])],
            [(stem + ".lora_down.weight", [2, 32, 2]), (stem + ".lora_up.weight", [32, 2])],
            [
                (stem + ".lora_down.weight", [2, 32, 3, 3]),
                (stem + ".lora_up.weight", [32, 2, 1, 1]),
            ],
            [(stem + ".lora_down.weight", [0, 32]), (stem + ".lora_up.weight", [32, 0])],
            [
                (stem + ".lora_down.weight", [2, 32]), (stem + ".lora_up.weight", [32, 2]),
                (stem + ".alpha", [2]),
            ],
            [
                (stem + ".lora_down.weight", [2, 32]), (stem + ".lora_up.weight", [32, 2]),
                (stem + ".dora_scale", [31, 1]),
            ],
            [
                (stem + ".lora_down.weight", [2, 32]),
                (
                    "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight",
                    [2, 32]
                ),
            ],
        ] as [[(String, [Int])]])
    func namesATensorThatIsNoPartOfALoRA(_ tensors: [(String, [Int])]) throws {
        let error = #expect(throws: EncoderError.self) { try file(tensors) }
        #expect(error?.description.contains("tensor \"") == true)
    }

    @Test func aFileForTheUNetAloneHasNothingForTheTextEncoders() throws {
        let file = try file([("lora_unet_a.lora_down.weight", [1, 2])])
        #expect(file.first == nil)
        #expect(file.otherTensors == 1)
    }

    @Test(arguments: [
        ("lora_te_text_model_encoder_layers_2_mlp_fc1", [2, 32], [48, 2]),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1", [2, 31], [48, 2]),
        ("lora_te_text_model_encoder_layers_0_mlp_fc2", [2, 32], [48, 2]),
        ("lora_te_text_model_encoder_layers_0_self_attn_k_proj", [2, 32], [33, 2]),
    ])
    func namesAMatrixThatTheTowerDoesNotHave(
        _ stem: String, _ down: [Int], _ up: [Int]
    ) throws {
        let lora = try #require(
            try file([(stem + ".lora_down.weight", down), (stem + ".lora_up.weight", up)]).first)
        let weights = try base().weights
        let error = #expect(throws: EncoderError.self) { try weights.applying([(lora, 1)]) }
        guard case .tensor("x", _, _, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    // MARK: what belongs to others

    private func pair(_ stem: String, _ rank: Int = 2, width: Int = 32) -> [(String, [Int])] {
        [(stem + ".lora_down.weight", [rank, width]), (stem + ".lora_up.weight", [width, rank])]
    }

    private func parts(_ file: LoRAFile) -> [String] {
        file.others.map { "\($0.part): \($0.tensors)" }
    }

    /// OneTrainer's FLUX: CLIP under te1, T5 under te2.
    @Test func leavesT5ToOthers() throws {
        let t5 = "lora_te2_encoder_block_0_layer_0_SelfAttention_q"
        let file = try file(
            pair("lora_te1_text_model_encoder_layers_0_self_attn_q_proj") + pair(t5)
                + [(t5 + ".alpha", []), ("lora_te2_shared.lora_down.weight", [2, 32])]
                + pair("lora_transformer_single_transformer_blocks_0_attn_to_q"))
        #expect(file.first?.updates.count == 1)
        #expect(file.second == nil)
        #expect(parts(file) == ["text_encoder_2 (T5): 4", "transformer: 2"])
        #expect(try file.lora(for: .clipL, width: 32, isOnly: true) == file.first)
    }

    @Test(arguments: [
        (
            "text_encoder_2.encoder.block.0.layer.1.DenseReluDense.wi_0.lora_A.weight",
            "text_encoder_2 (T5)"
        ),
        ("text_encoder_3.encoder.block.0.layer.0.SelfAttention.q.lora_B.weight", "text_encoder_3"),
        ("lora_te3_encoder_block_1_layer_0_SelfAttention_v.alpha", "text_encoder_3"),
        ("text_encoders.t5xxl.transformer.shared.weight", "text_encoders.t5xxl"),
        (
            "text_encoder.model.layers.0.self_attn.q_proj.lora_A.weight",
            "text_encoder (a language model)"
        ),
        (
            "lora_te_encoder_layer_0_attention_self_query.lora_up.weight",
            "text_encoder (no CLIP text tower)"
        ),
        (
            "base_model.model.down_blocks.0.attentions.0.to_q.lora_A.weight",
            "base_model.model (no CLIP text tower)"
        ),
        ("lycoris_down_blocks_0_attentions_0.lokr_w1", "lycoris (no CLIP text tower)"),
        ("diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight", "diffusion model"),
        ("transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight", "transformer"),
        ("lora_unet_mid_block.hada_t1", "unet"),
        ("something.else", "other parts"),
    ])
    func countsWhatBelongsElsewhere(_ name: String, _ part: String) throws {
        let file = try file([(name, [2, 32])] + pair(Self.stem))
        #expect(file.first?.updates.count == 1)
        #expect(parts(file) == ["\(part): 1"])
    }

    @Test func leavesOutAProjectionThatTheTowerHasNot() throws {
        let file = try file(
            pair("lora_te1_text_projection")
                + pair("lora_te1_text_model_encoder_layers_0_self_attn_q_proj"))
        let lora = try #require(file.first)
        var weights = try base().weights
        var sizes = try base().sizes
        // [24, 32] here, not [32, 32].
        #expect(throws: EncoderError.self) { try weights.applying([(lora, 1)]) }
        #expect(lora.unused(projection: sizes.projection).isEmpty)
        weights.projection = nil
        sizes.projection = nil
        #expect(try weights.applying([(lora, 1)]).layers != weights.layers)
        #expect(lora.unused(projection: sizes.projection) == ["text_projection"])
    }

    @Test func readsLinearMatricesStoredAsConvolutions() throws {
        let plain = try file(pair(Self.stem))
        let conv = try file([
            (Self.stem + ".lora_down.weight", [2, 32, 1, 1]),
            (Self.stem + ".lora_up.weight", [32, 2, 1, 1]),
        ])
        #expect(conv.first?.updates == plain.first?.updates)
    }

    /// A file whose one encoder is wrong still serves the other; that one's fault is said when asked.
    @Test func refusesOnlyWhoseChangesAreWrong() throws {
        let file = try file(
            pair("lora_te1_text_model_encoder_layers_0_self_attn_q_proj")
                + [("lora_te2_text_model_encoder_layers_0_self_attn_q_proj.oft_blocks", [2, 2])])
        #expect(try file.lora(for: .clipL, width: 32, isOnly: false) == file.first)
        let error = #expect(throws: EncoderError.self) {
            try file.lora(for: .clipG, width: 32, isOnly: false)
        }
        #expect(error?.description.contains("oft_blocks") == true)
    }

    /// Names say first and second; where the width contradicts them, it decides.
    @Test func findsTheEncoderByItsWidth() throws {
        let stem = "_text_model_encoder_layers_0_self_attn_q_proj"
        let file = try file(pair("lora_te1" + stem, width: 32) + pair("lora_te2" + stem, width: 48))
        #expect(try file.lora(for: .clipG, width: 48, isOnly: true) == file.second)
        #expect(try file.lora(for: .clipG, width: 48, isOnly: false) == file.second)
        #expect(try file.lora(for: .clipL, width: 32, isOnly: true) == file.first)
        #expect(try file.lora(for: .clipL, width: 48, isOnly: false) == file.first)
    }

    @Test func readsFoldersAndFilesOfPEFT() throws {
        let folder = try TemporaryDirectory()
        let source = try SafetensorsFile(
            bytes: MappedBytes.map(path: Self.folder + "/peft.safetensors"), path: "x")
        for isBare in [false, true] {
            var builder = SafetensorsBuilder()
            for name in source.tensorNames {
                let shape = try #require(source.shape(of: name))
                let rest = name.dropFirst("text_encoder.".count)
                let own = isBare ? rest.dropFirst("text_model.".count) : rest
                builder.add(
                    "base_model.model." + own, shape: shape, try source.floats(name, shape: shape))
            }
            try folder.write("adapter_model.safetensors", builder.file())
            try folder.write(
                "adapter_config.json",
                Array(#"{"peft_type": "LORA", "r": 4, "lora_alpha": 6}"#.utf8))
            for path in [folder.path, folder.path + "/adapter_model.safetensors"] {
                let file = try LoRAFile.open(path)
                #expect(file.first == nil)
                let lora = try #require(
                    try file.lora(for: .clipG, width: 32, isOnly: false))
                #expect(try file.lora(for: .clipL, width: 48, isOnly: false) == nil)
                let merged = try base().weights.applying([(lora, 1)])
                #expect(try error(merged, "peft") < 2e-6)
                guard case .lora = try WeightsFile.identify(path) else {
                    Issue.record("\(path) is no LoRA")
                    continue
                }
            }
        }
        try folder.write(
            "adapter_config.json", Array(#"{"peft_type": "LOKR", "r": 2, "alpha": 3}"#.utf8))
        var builder = SafetensorsBuilder()
        let stem = "base_model.model.text_model.encoder.layers.0.self_attn.q_proj"
        builder.add(stem + ".lokr_w1", shape: [4, 4], [Float](repeating: 1, count: 16))
        builder.add(stem + ".lokr_w2", shape: [8, 8], [Float](repeating: 1, count: 64))
        try folder.write("adapter_model.safetensors", builder.file())
        // PEFT divides alpha by its rank even where both matrices are whole; LyCORIS does not.
        #expect(try LoRAFile.open(folder.path).unnamed?.updates.values.first?.scale == 1.5)
        for other in [#"{"peft_type": "IA3"}"#, #"{"fan_in_fan_out": true}"#, "[]", "{"] {
            try folder.write("adapter_config.json", Array(other.utf8))
            #expect(throws: EncoderError.self) { try LoRAFile.open(folder.path) }
        }
    }

    @Test func bringsTextualInversionsAlong() throws {
        let file = try file(
            pair(Self.stem) + [
                ("bundle_emb.ink cat.string_to_param.*", [3, 32]),
                ("bundle_emb.pair.clip_l", [2, 32]), ("bundle_emb.pair.clip_g", [2, 48]),
                ("bundle_emb.pair.t5", [2, 64]), ("bundle_emb.broken.x", [2, 2, 2]),
            ])
        #expect(file.embeddings.map(\.name).sorted() == ["ink cat", "pair"])
        let cat = try #require(file.embeddings.first { $0.name == "ink cat" })
        #expect(try cat.inversion.vectors(for: .clipL, width: 32).count == 3)
        let pair = try #require(file.embeddings.first { $0.name == "pair" })
        #expect(try pair.inversion.vectors(for: .clipG, width: 48).count == 2)
        #expect(file.notes.count == 1)
        #expect(file.notes.first?.contains("\"broken\"") == true)
        #expect(file.otherTensors == 0)
    }

    @Test func changesTheProjection() throws {
        let stem = "text_encoder.text_projection"
        let lora = try #require(
            try file([(stem + ".lora_A.weight", [2, 32]), (stem + ".lora_B.weight", [24, 2])]).first
        )
        let weights = try base().weights
        let changed = try weights.applying([(lora, 1)])
        #expect(changed.layers == weights.layers)
        let before = try #require(weights.projection)
        let after = try #require(changed.projection)
        #expect(zip(before, after).allSatisfy { abs($1 - $0 - 0.125) < 1e-6 })
    }

    @Test func survivesMutation() throws {
        let names = [
            "peft.safetensors", "kohya.safetensors", "kohya.pt", "dora-rows.safetensors",
            "old-diffusers.safetensors",
        ]
        let bases = try names.map { try Fixture.read(Self.folder + "/" + $0) }
        let weights = try base().weights
        var applied = 0
        let summary = ByteFuzz.run(bases, cases: ByteFuzz.cases(5_000), seed: 22) {
            bytes throws(EncoderError) in
            let file = try LoRAFile(bytes: MappedBytes(bytes), path: "fuzz")
            for lora in [file.first, file.second] {
                guard let lora else { continue }
                if (try? weights.applying([(lora, 0.5)])) != nil { applied += 1 }
            }
        }
        print("lora fuzz: \(summary), \(applied) applied")
        #expect(summary.accepted > 50)
        #expect(summary.refused > 500)
    }
}
