import Encoders
import Testing

/// LoHa, LoKr, full and norm differences and IA³ against the lycoris-lora package
/// (`Tests/Generators/lycoris_files.py`).
@Suite struct LyCORISTests {
    private static let folder = FormatFixture.path("../lycoris")
    private static let names = [
        "loha", "loha-dora", "lokr", "lokr-both", "lokr-full", "lokr-dora", "locon", "full",
        "norms", "ia3",
    ]

    private func base() throws -> (weights: TextWeights, sizes: TextConfiguration) {
        let tower = try #require(
            try CheckpointContents.open(FormatFixture.path("../adapters/base")).towers.first)
        return (try #require(try tower.textWeights()), try #require(tower.configuration.text))
    }

    /// The largest difference to the package's tensors, relative to the largest value.
    private func error(_ weights: TextWeights, _ file: String) throws -> Double {
        let (base, sizes) = try base()
        let path = Self.folder + "/\(file).safetensors"
        let merged = try SafetensorsFile(bytes: MappedBytes.map(path: path), path: path)
        var largest = 0.0
        var seen = 0
        for (tensor, before) in zip(
            weights.transformersTensors(sizes), base.transformersTensors(sizes))
        {
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

    @Test(arguments: names) func mergesAsThePackageDoes(_ name: String) throws {
        let file = try LoRAFile.open(Self.folder + "/\(name).safetensors")
        let lora = try #require(file.first)
        #expect(lora.isDoRA == name.hasSuffix("dora"))
        #expect(file.otherTensors == 0)
        let weights = try base().weights
        let whole = try error(try weights.applying([(lora, 1)]), "\(name).merged")
        print("lycoris \(name): relative error \(whole)")
        #expect(whole < 2e-6)
        #expect(try weights.applying([(lora, 0)]) == weights)
        guard !lora.isDoRA else { return }
        let half = try error(try weights.applying([(lora, 0.5)]), "\(name).half")
        #expect(half < 2e-6)
    }

    @Test func findsTheKindOfAFile() throws {
        for name in Self.names {
            guard
                case .lora = try WeightsFile.identify(Self.folder + "/\(name).safetensors")
            else {
                Issue.record("\(name) is no LoRA")
                continue
            }
        }
    }

    // MARK: what does not fit

    private static let stem = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    private static let norm = "lora_te_text_model_encoder_layers_0_layer_norm1"

    private func file(_ tensors: [(String, [Int])]) throws -> LoRAFile {
        var builder = SafetensorsBuilder()
        for (name, shape) in tensors {
            builder.add(
                name, shape: shape, [Float](repeating: 0.25, count: shape.reduce(1, *)))
        }
        return try LoRAFile(bytes: MappedBytes(builder.file()), path: "x")
    }

    @Test(
        arguments: [
            [(stem + ".hada_w1_a", [32, 2]), (stem + ".hada_w1_b", [2, 32])],
            [
                (stem + ".hada_w1_a", [32, 2]), (stem + ".hada_w1_b", [2, 32]),
                (stem + ".hada_w2_a", [32, 2]), (stem + ".hada_w2_b", [2, 31]),
            ],
            [
                (stem + ".hada_w1_a", [32, 2]), (stem + ".hada_w1_b", [2, 32]),
                (stem + ".hada_w2_a", [32, 2]), (stem + ".hada_w2_b", [2, 32]),
                (stem + ".hada_t1", [2, 2, 1, 1]),
            ],
            [(stem + ".lokr_w1", [4, 4])], [(stem + ".lokr_w2_a", [4, 4])],
            [
                (stem + ".lokr_w1", [4, 4]), (stem + ".lokr_w2", [8, 8]),
                (stem + ".lokr_t2", [2, 2, 1, 1]),
            ],
            [
                (stem + ".lokr_w1", [131_072, 1]), (stem + ".lokr_w2", [2, 2]),
            ],
            [(stem + ".lokr_w1", [4, 4]), (stem + ".diff", [32, 32])],
            [(stem + ".weight", [32])], [(stem + ".on_input", [1])],
            [(stem + ".weight", [32, 2]), (stem + ".on_input", [1])],
            [(stem + ".oft_blocks", [2, 16, 16])], [(stem + ".diff", [32, 32, 3, 3])],
            [(stem + ".diff", [32, 32]), (stem + ".dora_scale", [32, 1])],
            [(norm + ".hada_w1_a", [32, 2])], [(norm + ".w_norm", [2, 16])],
            [(norm + ".w_norm", [32]), (norm + ".diff", [32])],
        ] as [[(String, [Int])]])
    func namesATensorThatIsNoPartOfAChange(_ tensors: [(String, [Int])]) throws {
        let error = #expect(throws: EncoderError.self) { try file(tensors) }
        #expect(error?.description.contains("\"") == true)
    }

    @Test(arguments: [
        [(norm + ".w_norm", [31])], [(stem + ".diff_b", [33])], [(stem + ".diff", [32, 31])],
        [("lora_te_text_model_encoder_layers_2_layer_norm1.b_norm", [32])],
        [("lora_te_text_projection.diff_b", [24])],
        [(stem + ".weight", [31]), (stem + ".on_input", [1])],
    ])
    func namesAPartThatTheTowerDoesNotHave(_ tensors: [(String, [Int])]) throws {
        let lora = try #require(try file(tensors).first)
        let weights = try base().weights
        #expect(throws: EncoderError.self) { try weights.applying([(lora, 1)]) }
    }

    @Test func survivesMutation() throws {
        let bases = try Self.names.map { try Fixture.read(Self.folder + "/\($0).safetensors") }
        let weights = try base().weights
        var applied = 0
        let summary = ByteFuzz.run(bases, cases: ByteFuzz.cases(3_000), seed: 42) {
            bytes throws(EncoderError) in
            let file = try LoRAFile(bytes: MappedBytes(bytes), path: "fuzz")
            guard let lora = file.first else { return }
            if (try? weights.applying([(lora, 0.5)])) != nil { applied += 1 }
        }
        print("lycoris fuzz: \(summary), \(applied) applied")
        #expect(summary.accepted > 50)
        #expect(summary.refused > 300)
    }
}
