import Daemon
import Encoders
import JSON
import Serving
import Testing

/// What files of adapters become usable as, by name.
@Suite struct AdaptersTests {
    /// A safetensors file of fp32 tensors.
    private static func file(_ tensors: [(name: String, shape: [Int])]) -> [UInt8] {
        var header = JSONObject()
        var data: [UInt8] = []  // 0.25 throughout
        for tensor in tensors {
            let start = data.count
            for _ in 0..<tensor.shape.reduce(1, *) {
                data += [0, 0, 0x80, 0x3e]
            }
            header[tensor.name] = [
                "dtype": "F32", "shape": .array(tensor.shape.map { .integer($0) }),
                "data_offsets": [.integer(start), .integer(data.count)],
            ]
        }
        let text = JSONValue.object(header).serialized()
        var bytes: [UInt8] = []
        for shift in 0..<8 { bytes.append(UInt8(truncatingIfNeeded: text.count >> (8 * shift))) }
        return bytes + text + data
    }

    private let folder: TemporaryFolder
    private let adapters = Adapters()

    init() throws { folder = try TemporaryFolder() }

    @discardableResult
    private func load(
        _ kind: Adapters.Kind, _ name: String, _ tensors: [(name: String, shape: [Int])]
    ) throws -> [String] {
        let path = folder.path + "/file.safetensors"
        try folder.write("file.safetensors", Self.file(tensors))
        return try adapters.load(Adapters.Source(kind: kind, name: name, path: path))
    }

    private static let matrix = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    private static let plain = [
        (name: matrix + ".lora_down.weight", shape: [2, 32]),
        (name: matrix + ".lora_up.weight", shape: [32, 2]),
    ]

    @Test func aFileForTheUNetAloneIsLoadedWithAWord() throws {
        let notes = try load(
            .lora, "style", [("lora_unet_a.lora_down.weight", [1, 2])])
        #expect(
            notes == [
                "style: it changes no text encoder",
                "style: 1 tensors belong to unet and are not used",
            ])
        #expect(adapters.snapshot.loras["style"]?.file.changesText == false)
        #expect(try load(.lora, "plain", Self.plain) == [])
    }

    @Test func whatBelongsToAnotherEncoderIsNamed() throws {
        let notes = try load(
            .lora, "flux",
            Self.plain + [("lora_te2_encoder_block_0_layer_0_SelfAttention_q.alpha", [1])])
        #expect(notes == ["flux: 1 tensors belong to text_encoder_2 (T5) and are not used"])
    }

    @Test func embeddingsOfALoRAComeAndGoWithIt() throws {
        func names() -> [String] { adapters.snapshot.embeddings.keys.sorted() }
        let bundled =
            Self.plain + [
                (name: "bundle_emb.ink cat.string_to_param.*", shape: [3, 32]),
                (name: "bundle_emb.pen.emb_params", shape: [1, 32]),
            ]
        #expect(try load(.lora, "a", bundled) == [])
        #expect(names() == ["ink cat", "pen"])
        // Another file's of the same name does not take its place.
        let notes = try load(.lora, "b", bundled)
        #expect(notes.count == 2)
        #expect(notes[0].contains("left out for the one of LoRA a"))
        #expect(adapters.unload(.lora, "b"))
        #expect(names() == ["ink cat", "pen"])
        #expect(adapters.unload(.lora, "a"))
        #expect(names() == [])
        // One that was loaded by itself stays.
        try load(.embedding, "pen", [("emb_params", [2, 32])])
        #expect(try load(.lora, "a", bundled).count == 1)
        #expect(adapters.unload(.lora, "a"))
        #expect(names() == ["pen"])
        #expect(adapters.snapshot.embeddings["pen"]?.inversion.vectors[0].count == 2)
        // The same name again: what was in the earlier file goes.
        try load(.lora, "a", bundled)
        try load(.lora, "a", Self.plain)
        #expect(names() == ["pen"])
    }

    @Test func refusesAFileOfAnotherKind() throws {
        #expect(throws: EncoderError.self) { try load(.lora, "x", [("emb_params", [2, 32])]) }
        #expect(throws: EncoderError.self) { try load(.embedding, "x", Self.plain) }
    }

    @Test(arguments: [
        ("my cat", true), ("a", true), ("<cat>", true), (" cat", false), ("cat ", false),
        ("a\tb", false), ("a\u{a0}b", false), ("", false),
    ])
    func namesMayHaveSpaces(_ name: String, _ isRight: Bool) {
        #expect(AdapterName.isValid(name) == isRight)
    }
}
