import Encoders
import JSON
import Testing

@Suite struct TextualInversionTests {
    private static let folder = FormatFixture.path("../adapters")
    static let names = [
        "a1111.pt", "parameter-dict.pt", "diffusers.bin", "diffusers.safetensors",
        "emb-params.safetensors", "sdxl.safetensors", "tensor.pt",
    ]

    private func open(_ name: String) throws -> TextualInversion {
        try TextualInversion.open(Self.folder + "/" + name)
    }

    @Test(arguments: names)
    func holdsTheVectorsThatWereWritten(_ name: String) throws {
        let expected = try JSONValue.parse(Fixture.read(Self.folder + "/inversions.json"))
        let roles = try #require(expected[name]?.objectValue)
        let inversion = try open(name)
        #expect(inversion.vectors.count == roles.count)
        for vectors in inversion.vectors {
            let rows = try #require(roles[vectors.role?.rawValue ?? "any"]?.arrayValue)
            let values = rows.flatMap { $0.arrayValue ?? [] }.compactMap(\.doubleValue)
            #expect(vectors.count == rows.count)
            #expect(vectors.values == values.map { Float($0) })
            #expect(vectors.width * vectors.count == values.count)
        }
    }

    @Test func knowsTheNamesThatFilesSay() throws {
        #expect(try open("a1111.pt").name == "my-cat")
        #expect(try open("diffusers.bin").name == "<cat-toy>")
        #expect(try open("diffusers.safetensors").name == "<cat-toy>")
        #expect(try open("emb-params.safetensors").name == nil)
        #expect(try open("tensor.pt").name == nil)
    }

    @Test func givesEachEncoderItsVectors() throws {
        let pair = try open("sdxl.safetensors")
        #expect(try pair.vectors(for: .clipG, width: 12).width == 12)
        #expect(try pair.vectors(for: .clipL, width: 8).width == 8)
        #expect(throws: EncoderError.self) { try pair.vectors(for: .clipG, width: 8) }
        #expect(throws: EncoderError.self) { try pair.vectors(for: .clipH, width: 8) }
        #expect(try open("a1111.pt").vectors(for: .clipH, width: 8).count == 3)
    }

    @Test func readsEncodersByNumber() throws {
        var builder = SafetensorsBuilder()
        builder.add("text_encoders_0", shape: [1, 2], [1, 2])
        builder.add("text_encoders_1", shape: [1, 3], [3, 4, 5])
        let bytes = MappedBytes(builder.file())
        let inversion = try TextualInversion(bytes: bytes, path: "x")
        #expect(try inversion.vectors(for: .clipG, width: 3).values == [3, 4, 5])
        builder.add("clip_g", shape: [1, 3], [3, 4, 5])
        let double = MappedBytes(builder.file())
        #expect(throws: EncoderError.self) { try TextualInversion(bytes: double, path: "x") }
    }

    @Test func refusesOtherFiles() throws {
        for name in ["kohya.safetensors", "peft.safetensors", "base/model.safetensors"] {
            #expect(throws: EncoderError.self) { try open(name) }
        }
        let shapes: [[Int]] = [[], [0, 4], [2, 2, 2], [1_025, 1], [3, 0]]
        for shape in shapes {
            var builder = SafetensorsBuilder()
            let count = shape.reduce(1, *)
            builder.add("emb_params", shape: shape, [Float](repeating: 1, count: count))
            let bytes = MappedBytes(builder.file())
            let error = #expect(throws: EncoderError.self) {
                try TextualInversion(bytes: bytes, path: "x")
            }
            guard case .tensor("x", "emb_params", _, _) = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
        }
    }

    @Test func refusesTwoTerms() throws {
        let weight = PickleText.tensor("0", count: 6, shape: [6], strides: [1])
        let file = PickleText.file(
            PickleText.dictionary([
                ("string_to_param", PickleText.dictionary([("*", weight), ("a", weight)]))
            ]), storages: ["0": [0, 1, 2, 3, 4, 5]])
        #expect(throws: EncoderError.self) {
            try TextualInversion(bytes: MappedBytes(file), path: "x")
        }
    }

    @Test func survivesMutation() throws {
        let bases = try Self.names.map { try Fixture.read(Self.folder + "/" + $0) }
        let summary = ByteFuzz.run(bases, cases: ByteFuzz.cases(10_000), seed: 21) {
            bytes throws(EncoderError) in
            let inversion = try TextualInversion(bytes: MappedBytes(bytes), path: "fuzz")
            for vectors in inversion.vectors {
                precondition(vectors.values.count == vectors.count * vectors.width)
            }
        }
        print("textual inversion fuzz: \(summary)")
        #expect(summary.accepted > 50)
        #expect(summary.refused > 1_000)
    }
}
