import Encoders
import JSON
import Testing

/// GGUF against the gguf package (`Tests/Generators/gguf_files.py`).
@Suite struct GGUFTests {
    private static let folder = FormatFixture.path("../gguf")
    private static let expected: JSONObject = {
        let bytes = (try? Fixture.read(folder + "/expected.json")) ?? []
        return (try? JSONValue.parse(bytes))?.objectValue ?? JSONObject()
    }()
    static let names = expected.keys

    private func read(_ name: String) throws -> [UInt8] {
        try Fixture.read(Self.folder + "/\(name).gguf")
    }

    private func open(_ bytes: [UInt8]) throws -> CheckpointContents {
        try CheckpointContents.file(MappedBytes(bytes), path: "x.gguf")
    }

    @Test func thereAreFixtures() { #expect(Self.names.count == 9) }

    @Test(arguments: names)
    func holdsTheReferencesWeightsBitForBit(_ name: String) throws {
        let contents = try CheckpointContents.open(Self.folder + "/\(name).gguf")
        #expect(contents.format == .gguf)
        let tower = try #require(contents.towers.first)
        #expect(tower.container == .gguf)
        var expected: [String: String] = [:]
        for (name, value) in Self.expected[name]?.objectValue?.members ?? [] {
            expected[name] = value.stringValue
        }
        #expect(try FormatFixture.digests(tower) == expected)
        let model = try CLIPModel.load(tower)
        #expect(model.text?.configuration.heads == (tower.configuration.text == nil ? nil : 4))
    }

    @Test func takesItsMetadata() throws {
        let both = try #require(try open(read("q8_0")).towers.first)
        #expect(both.configuration.text?.activation == .quickGELU)
        #expect(both.configuration.text?.eps == 1e-5)
        #expect(try both.preprocessing()?.mean == [0.5, 0.25, 0.125])
        #expect(try both.tokenizer() == nil)
        #expect(abs(try CLIPModel.load(both).logitScale - 100) < 1e-3)
        let text = try #require(try open(read("text-gelu")).towers.first)
        #expect(text.configuration.vision == nil)
        #expect(text.configuration.text?.activation == .gelu)
        let vision = try #require(try open(read("vision-swapped")).towers.first)
        #expect(vision.role == .imageEncoder)
    }

    @Test(arguments: ["f16", "q4_0"])
    func refusesFilesCutShortAnywhere(_ name: String) throws {
        let whole = try read(name)
        for count in stride(from: 0, to: whole.count, by: max(1, whole.count / 200)) {
            #expect(throws: EncoderError.self, "cut at \(count)") {
                let contents = try open(Array(whole.prefix(count)))
                _ = try contents.towers.first?.textWeights()
                _ = try contents.towers.first?.visionWeights()
            }
        }
    }

    @Test func refusesOtherVersionsAndTypes() throws {
        let whole = try read("text-gelu")
        for version: UInt8 in [0, 1, 4, 255] {
            var bytes = whole
            bytes[4] = version
            let error = #expect(throws: EncoderError.self) { try open(bytes) }
            #expect(error?.description.contains("version") == true)
        }
        // The first tensor's type: behind its name, the number of its sizes, and those.
        let name = Array("text_projection.weight".utf8)
        let place = try #require(whole.firstRange(of: name)).upperBound + 4 + 16
        var bytes = whole
        bytes[place] = 12
        let error = #expect(throws: EncoderError.self) { try open(bytes) }
        #expect(error?.description.contains("ggml's type 12") == true)
    }

    @Test func survivesMutation() throws {
        let bases = [try read("text-gelu"), try read("q5_1")]
        let summary = ByteFuzz.run(bases, cases: ByteFuzz.cases(4_000), seed: 23) {
            bytes throws(EncoderError) in
            let contents = try CheckpointContents.file(MappedBytes(bytes), path: "fuzz")
            for tower in contents.towers {
                _ = try tower.textWeights()
                _ = try tower.visionWeights()
            }
        }
        print("gguf fuzz: \(summary)")
        #expect(summary.accepted + summary.refused == ByteFuzz.cases(4_000))
        #expect(summary.refused > 1_000)
    }

    @Test func survivesMutationOfItsHeader() throws {
        let whole = try read("text-gelu")
        let header = Array(whole.prefix(4_000))
        let rest = whole.dropFirst(4_000)
        let summary = ByteFuzz.run([header], cases: ByteFuzz.cases(10_000), seed: 24) {
            bytes throws(EncoderError) in
            let contents = try CheckpointContents.file(MappedBytes(bytes + rest), path: "fuzz")
            for tower in contents.towers { _ = try tower.textWeights() }
        }
        print("gguf header fuzz: \(summary)")
        #expect(summary.refused > 5_000)
        #expect(summary.accepted > 10)
    }
}
