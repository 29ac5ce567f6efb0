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
        #expect(pair.lora(for: .clipG, isOnly: false) == pair.second)
        #expect(pair.lora(for: .clipG, isOnly: true) == pair.first)
        #expect(pair.lora(for: .clipL, isOnly: false) == pair.first)
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
            [("lora_te_.lora_down.weight", [2, 32])], [(stem + ".hada_w1_a", [2, 32])],
            [(stem + ".lora_mid.weight", [2, 2])], [(stem + ".diff", [32, 32])], [(stem, [1])],
            [(stem + ".lora_down.weight", [2, 32])], [(stem + ".alpha", [])],
            [(stem + ".lora_down.weight", [2, 32]), (stem + ".lora_up.weight", [32, 3])],
            [(stem + ".lora_down.weight", [2, 32, 1]), (stem + ".lora_up.weight", [32, 2])],
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
        ("lora_te_text_projection", [2, 32], [32, 2]),
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
