import Encoders
import Glibc
import JSON
import Testing

/// The lists of published files' tensors (`Tests/Generators/published.py`).
struct PublishedFile {
    struct Tensor: Sendable {
        let name: String
        let type: StoredType
        let shape: [Int]
    }

    static let folder = FormatFixture.path("../published")

    static let names: [String] = {
        guard let handle = opendir(folder) else { return [] }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name.hasSuffix(".json") { names.append(String(name.dropLast(".json".count))) }
        }
        return names.sorted()
    }()

    let document: JSONValue
    let tensors: [Tensor]

    init(_ name: String) throws {
        document = try JSONValue.parse(Fixture.read("\(Self.folder)/\(name).json"))
        tensors = try (document["tensors"]?.arrayValue ?? []).map { entry in
            let entry = try #require(entry.arrayValue)
            return Tensor(
                name: try #require(entry[0].stringValue),
                type: try #require(entry[1].stringValue.flatMap(StoredType.init(rawValue:))),
                shape: (entry[2].arrayValue ?? []).compactMap(\.intValue))
        }
    }
}

/// A source of listed tensors, full of zeros.
struct ListedTensors: TensorSource {
    let path = "listed.safetensors"
    let container: TensorContainer
    let tensorNames: [String]
    private let tensors: [String: PublishedFile.Tensor]

    init(_ tensors: [PublishedFile.Tensor], container: TensorContainer = .safetensors) {
        self.container = container
        tensorNames = tensors.map(\.name)
        self.tensors = Dictionary(
            tensors.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    func shape(of name: String) -> [Int]? { tensors[name]?.shape }
    func storedType(of name: String) -> StoredType? { tensors[name]?.type }
    func releasePages() {}

    func readStoredBytes(
        _ name: String, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(EncoderError) -> Bool {
        guard let tensor = tensors[name] else { return false }
        var left = tensor.shape.reduce(1, *) * tensor.type.size
        let zeros = [UInt8](repeating: 0, count: min(left, 1 << 20))
        while left > 0 {
            zeros.withUnsafeBytes {
                body(UnsafeRawBufferPointer(rebasing: $0[..<min(left, 1 << 20)]))
            }
            left -= min(left, 1 << 20)
        }
        return true
    }
}

@Suite struct PublishedFilesTests {
    @Test func thereAreLists() { #expect(PublishedFile.names.count >= 14) }

    @Test(arguments: PublishedFile.names)
    func publishedFilesAreTakenForWhatTheyAre(_ name: String) throws {
        let file = try PublishedFile(name)
        let contents = try CheckpointContents.tensors(ListedTensors(file.tensors))
        #expect(contents.format.rawValue == file.document["format"]?.stringValue)
        #expect(
            contents.uses.map(\.rawValue)
                == file.document["uses"]?.arrayValue?.compactMap(\.stringValue))
        let towers = try #require(file.document["towers"]?.objectValue)
        #expect(Set(contents.towers.map(\.role.rawValue)) == Set(towers.keys))
        for tower in contents.towers {
            let expected = try #require(towers[tower.role.rawValue])
            if let text = expected["text"] {
                let found = try #require(tower.configuration.text)
                #expect(found.width == text["width"]?.intValue)
                #expect(found.layers == text["layers"]?.intValue)
                #expect(found.heads == text["heads"]?.intValue)
                #expect(found.mlpWidth == text["mlp"]?.intValue)
                #expect(found.projection == text["projection"]?.intValue)
                #expect(found.contextLength == 77)
                #expect(Int(found.padToken) == text["pad_token"]?.intValue)
                #expect((found.activation == .gelu) == (text["activation"] == "gelu"))
            }
            #expect((tower.configuration.vision == nil) == (expected["vision"] == nil))
            if let vision = expected["vision"], let found = tower.configuration.vision {
                #expect(found.width == vision["width"]?.intValue)
                #expect(found.layers == vision["layers"]?.intValue)
                #expect(found.heads == vision["heads"]?.intValue)
                #expect(found.mlpWidth == vision["mlp"]?.intValue)
                #expect(found.patchSize == vision["patch"]?.intValue)
                #expect(found.imageSize == vision["size"]?.intValue)
                #expect(found.projection == vision["projection"]?.intValue)
                #expect((found.activation == .gelu) == (vision["activation"] == "gelu"))
            }
            // Every tensor is asked for in its shape, and none is left over.
            _ = try CheckpointSurvey(tower)
            #expect(try tower.tokenizer()?.vocabularySize == 49_408)
        }
    }

    // MARK: names that sizes contradict

    /// One layer of a text tower under a prefix and transformers' names.
    private func tower(_ prefix: String, width: Int) -> [PublishedFile.Tensor] {
        var tensors: [PublishedFile.Tensor] = []
        func add(_ name: String, _ shape: [Int]) {
            tensors.append(PublishedFile.Tensor(name: prefix + name, type: .f16, shape: shape))
        }
        add("text_model.embeddings.token_embedding.weight", [49_408, width])
        add("text_model.embeddings.position_embedding.weight", [77, width])
        let layer = "text_model.encoder.layers.0."
        for norm in [layer + "layer_norm1", layer + "layer_norm2", "text_model.final_layer_norm"] {
            add(norm + ".weight", [width])
            add(norm + ".bias", [width])
        }
        for matrix in ["q_proj", "k_proj", "v_proj", "out_proj"] {
            add("\(layer)self_attn.\(matrix).weight", [width, width])
            add("\(layer)self_attn.\(matrix).bias", [width])
        }
        add(layer + "mlp.fc1.weight", [64, width])
        add(layer + "mlp.fc1.bias", [64])
        add(layer + "mlp.fc2.weight", [width, 64])
        add(layer + "mlp.fc2.bias", [width])
        return tensors
    }

    @Test(arguments: [
        ("cond_stage_model.transformer.", 1_024, EncoderRole.clipH, CheckpointFormat.sd2),
        ("cond_stage_model.transformer.", 1_280, .clipG, .sdxlRefiner),
        ("cond_stage_model.transformer.", 768, .clipL, .sd1),
        ("conditioner.embedders.0.transformer.", 1_280, .clipG, .sdxl),
        ("text_encoders.clip_l.transformer.", 1_024, .clipH, .sd3),
        ("text_encoders.clip_g.transformer.", 768, .clipL, .flux),
    ])
    func aTowersWidthDecidesItsRole(
        _ prefix: String, _ width: Int, _ role: EncoderRole, _ format: CheckpointFormat
    ) throws {
        let contents = try CheckpointContents.tensors(ListedTensors(tower(prefix, width: width)))
        #expect(contents.towers.map(\.role) == [role])
        #expect(contents.format == format)
        let text = try #require(contents.towers[0].configuration.text)
        #expect(text.activation == (role == .clipL ? .quickGELU : .gelu))
        #expect(text.padToken == (role == .clipL ? 49_407 : 0))
    }

    @Test(arguments: [512, 640, 896, 2_048])
    func aWidthThatIsNoPipelinesIsRefused(_ width: Int) throws {
        let source = ListedTensors(tower("cond_stage_model.transformer.", width: width))
        let error = #expect(throws: EncoderError.self) { try CheckpointContents.tensors(source) }
        #expect(error?.description.contains("a width of 768") == true)
        #expect(error?.description.contains("\(width)") == true)
    }

    @Test func twoTowersOfOneWidthAreNoPair() throws {
        let pair =
            tower("text_encoders.clip_l.transformer.", width: 768)
            + tower("text_encoders.clip_g.transformer.", width: 768)
        let error = #expect(throws: EncoderError.self) {
            try CheckpointContents.tensors(ListedTensors(pair))
        }
        #expect(error?.description.contains("two clip_l") == true)
    }

    /// OpenCLIP's names and 768: OpenAI's L/14 with QuickGELU, or LAION's with GELU.
    @Test func anOpenCLIPTowerOf768NeedsItsConfiguration() throws {
        let prefix = "conditioner.embedders.1.model."
        let file = try PublishedFile("sd_xl_base_1.0")
        for isBare in [false, true] {
            let tensors = file.tensors.filter { $0.name.hasPrefix(prefix) }.map { tensor in
                PublishedFile.Tensor(
                    name: isBare ? String(tensor.name.dropFirst(prefix.count)) : tensor.name,
                    type: tensor.type,
                    shape: tensor.shape.map { $0 == 1_280 ? 768 : $0 == 3_840 ? 2_304 : $0 })
            }
            let error = #expect(throws: EncoderError.self) {
                try CheckpointContents.tensors(ListedTensors(tensors))
            }
            #expect(error?.description.contains("open_clip_config.json") == true)
        }
    }

    // MARK: a projection that goes without saying

    @Test func anAbsentProjectionOfCLIPLIsTheIdentity() throws {
        for prefix in ["", "text_encoders.clip_l.transformer."] {
            let contents = try CheckpointContents.tensors(
                ListedTensors(tower(prefix, width: 768)))
            let clip = try #require(contents.tower(.clipL))
            let projection = try #require(try clip.textWeights()?.projection)
            #expect(projection.count == 768 * 768)
            #expect(projection.reduce(0, +) == 768)
            #expect((0..<768).allSatisfy { projection[$0 * 769] == 1 })
        }
        // SD1's own file does without one, and nobody takes it for SD3's.
        let first = try CheckpointContents.tensors(
            ListedTensors(tower("cond_stage_model.transformer.", width: 768)))
        #expect(first.towers[0].configuration.text?.projection == nil)
        let other = try CheckpointContents.tensors(ListedTensors(tower("", width: 1_280)))
        #expect(other.towers[0].configuration.text?.projection == nil)
    }
}
