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

    @Test func thereAreFixtures() { #expect(Self.names.count == 10) }

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
        #expect(model.text?.sizes.heads == (tower.configuration.text == nil ? nil : 4))
    }

    @Test(arguments: [
        "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
        "IQ4_XS", "BF16",
    ])
    func widensBlocksAsThePackageDoes(_ type: String) throws {
        let file = try GGUFFile(bytes: MappedBytes(read("blocks")), path: "blocks.gguf")
        #expect(file.storedType(of: type)?.rawValue == type)
        let values = try file.floats(type, shape: [3, 512])
        let expected = try file.floats(type + ".f32", shape: [3, 512])
        #expect(values.map(\.bitPattern) == expected.map(\.bitPattern))
        #expect(Set(values).count > 50)
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

    /// The head of a file with CLIP's own tokens, one changed when asked; tensors as in `text-gelu`
    /// but for a token embedding of their number.
    private func withVocabulary(change: Bool) throws -> [UInt8] {
        let tower = try CheckpointContents.tower(at: FormatFixture.path("sd1.safetensors"))
        let text = try #require(try tower.textWeights())
        var sizes = try #require(tower.configuration.text)
        sizes.vocabularySize = 49_408
        var tokens = BytePairTokenizer.clipSpellings
        if change { tokens.swapAt(1_000, 1_001) }
        func string(_ text: String) -> [UInt8] {
            littleEndian(UInt64(text.utf8.count)) + Array(text.utf8)
        }
        var file = Array("GGUF".utf8) + littleEndian(UInt32(3))
        var weights = text
        weights.tokenEmbedding = [Float](repeating: 0.5, count: 49_408 * 64)
        let tensors = weights.transformersTensors(sizes)
        file += littleEndian(UInt64(tensors.count)) + littleEndian(UInt64(2))
        file += string("clip.has_text_encoder") + littleEndian(UInt32(7)) + [1]
        file += string("tokenizer.ggml.tokens") + littleEndian(UInt32(9)) + littleEndian(UInt32(8))
        file += littleEndian(UInt64(tokens.count)) + tokens.flatMap(string)
        var data: [UInt8] = []
        for tensor in tensors {
            file += string(tensor.name) + littleEndian(UInt32(tensor.shape.count))
            file += tensor.shape.reversed().flatMap { littleEndian(UInt64($0)) }
            file += littleEndian(UInt32(0)) + littleEndian(UInt64(data.count))
            data += tensor.values.flatMap { littleEndian($0.bitPattern) }
            data += [UInt8](repeating: 0, count: (32 - data.count % 32) % 32)
        }
        file += [UInt8](repeating: 0, count: (32 - file.count % 32) % 32)
        return file + data
    }

    @Test func takesTheBuiltInTokenizerOnlyForCLIPsTokens() throws {
        let known = try #require(try open(withVocabulary(change: false)).towers.first)
        #expect(try known.tokenizer()?.vocabularySize == 49_408)
        let other = try #require(try open(withVocabulary(change: true)).towers.first)
        #expect(try other.tokenizer() == nil)
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
        bytes[place] = 16
        let error = #expect(throws: EncoderError.self) { try open(bytes) }
        #expect(error?.description.contains("ggml's type 16") == true)
        // Rows that are no whole blocks of 256.
        bytes[place] = 12
        let short = #expect(throws: EncoderError.self) { try open(bytes) }
        #expect(short?.description.contains("rows of whole blocks of 256 for Q4_K") == true)
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
