import Encoders
import JSON
import Testing

@Suite struct ConfigurationTests {
    private func transformers(_ text: String) throws -> CLIPConfiguration {
        try .transformers(JSONValue.parse(text), path: "config.json") { _ in true }
    }

    private func openCLIP(_ text: String) throws -> CLIPConfiguration {
        try .openCLIP(JSONValue.parse(text), path: "open_clip_config.json")
    }

    /// The defaults of transformers 5.23's `CLIPConfig()`.
    @Test func takesTransformersDefaults() throws {
        let configuration = try transformers("{\"model_type\":\"clip\"}")
        #expect(
            configuration.text
                == TextConfiguration(
                    vocabularySize: 49_408, width: 512, layers: 12, heads: 8, mlpWidth: 2_048,
                    contextLength: 77, activation: .quickGELU, eps: 1e-5, pooling: .firstEnd,
                    startToken: 49_406, endToken: 49_407, padToken: 1, projection: 512))
        #expect(
            configuration.vision
                == VisionConfiguration(
                    width: 768, layers: 12, heads: 12, mlpWidth: 3_072, patchSize: 32,
                    imageSize: 224, activation: .quickGELU, eps: 1e-5, projection: 512))
        #expect(configuration.vision?.tokens == 50)
    }

    @Test func theOldEndTokenMeansTheHighestId() throws {
        let text = try transformers(
            "{\"text_config\":{\"eos_token_id\":2,\"bos_token_id\":0,\"vocab_size\":500}}"
        ).text
        #expect(text?.pooling == .highestToken)
        #expect(text?.startToken == 498)
        #expect(text?.endToken == 499)
    }

    @Test func theTopProjectionCountsForBothTowers() throws {
        let configuration = try transformers(
            "{\"projection_dim\":40,\"text_config\":{\"projection_dim\":7},"
                + "\"vision_config\":{\"projection_dim\":8}}")
        #expect(configuration.text?.projection == 40)
        #expect(configuration.vision?.projection == 40)
    }

    @Test func aLoneTowerHasItsProjectionOnlyIfItIsStored() throws {
        let document = try JSONValue.parse(
            "{\"model_type\":\"clip_text_model\",\"projection_dim\":9}")
        let with = try CLIPConfiguration.transformers(document, path: "c") { _ in true }
        let without = try CLIPConfiguration.transformers(document, path: "c") { _ in false }
        #expect(with.text?.projection == 9)
        #expect(without.text?.projection == nil)
        #expect(without.text?.embeddingWidth == 512)
        #expect(with.vision == nil)
    }

    @Test func theLegacyDictionaryReplacesTheTower() throws {
        let text = try transformers(
            "{\"text_config\":{\"hidden_size\":64,\"num_hidden_layers\":3},"
                + "\"text_config_dict\":{\"hidden_size\":128}}"
        ).text
        #expect(text?.width == 128)
        #expect(text?.layers == 12)
    }

    @Test(arguments: [
        ("quick_gelu", Activation.quickGELU), ("gelu", .gelu), ("gelu_new", .geluTanh),
        ("gelu_pytorch_tanh", .geluTanh),
    ])
    func knowsTransformersActivations(_ name: String, _ activation: Activation) throws {
        let configuration = try transformers(
            "{\"text_config\":{\"hidden_act\":\"\(name)\"},\"vision_config\":{}}")
        #expect(configuration.text?.activation == activation)
        #expect(configuration.vision?.activation == .quickGELU)
    }

    @Test(arguments: [
        ("{\"text_config\":{\"hidden_size\":0}}", "text_config.hidden_size"),
        ("{\"text_config\":{\"hidden_size\":-8}}", "text_config.hidden_size"),
        ("{\"text_config\":{\"hidden_size\":null}}", "text_config.hidden_size"),
        ("{\"text_config\":{\"hidden_size\":\"8\"}}", "text_config.hidden_size"),
        ("{\"text_config\":{\"hidden_size\":512.5}}", "text_config.hidden_size"),
        ("{\"text_config\":{\"hidden_size\":9223372036854775807}}", "text_config.hidden_size"),
        ("{\"text_config\":{\"num_attention_heads\":7}}", "text_config.num_attention_heads"),
        ("{\"text_config\":{\"num_attention_heads\":0}}", "text_config.num_attention_heads"),
        ("{\"text_config\":{\"num_hidden_layers\":1000000}}", "text_config.num_hidden_layers"),
        ("{\"text_config\":{\"layer_norm_eps\":-1}}", "text_config.layer_norm_eps"),
        ("{\"text_config\":{\"layer_norm_eps\":1e300}}", "text_config.layer_norm_eps"),
        ("{\"text_config\":{\"vocab_size\":100}}", "text_config.eos_token_id"),
        (
            "{\"text_config\":{\"vocab_size\":49408,\"eos_token_id\":5,\"bos_token_id\":49408}}",
            "text_config.bos_token_id"
        ),
        (
            "{\"text_config\":{\"max_position_embeddings\":1}}",
            "text_config.max_position_embeddings"
        ),
        ("{\"text_config\":3}", "text_config"),
        ("{\"text_config_dict\":3,\"text_config\":{}}", "text_config_dict"),
        ("{\"vision_config\":{\"patch_size\":0}}", "vision_config.patch_size"),
        ("{\"vision_config\":{\"patch_size\":225}}", "vision_config.patch_size"),
        ("{\"vision_config\":{\"image_size\":1000,\"patch_size\":1}}", "vision_config.patch_size"),
        ("{\"vision_config\":{\"hidden_act\":4}}", "vision_config.hidden_act"),
        ("{\"vision_config\":{},\"projection_dim\":0}", "projection_dim"),
        ("{\"vision_config\":{},\"logit_scale_init_value\":1000}", "logit_scale_init_value"),
        ("{}", "model_type"),
        ("{\"model_type\":7}", "model_type"),
    ])
    func namesTheFieldOutOfRange(_ document: String, _ field: String) throws {
        let error = #expect(throws: EncoderError.self) { try transformers(document) }
        guard case .configuration("config.json", field, _, _) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test(arguments: [
        ("{\"model_type\":\"siglip\"}", "model_type"),
        ("{\"vision_config\":{\"num_channels\":4}}", "vision_config.num_channels"),
        ("{\"vision_config\":{\"image_size\":[224,192]}}", "vision_config.image_size"),
        ("{\"vision_config\":{\"hidden_act\":\"relu\"}}", "vision_config.hidden_act"),
        ("{\"text_config\":{\"eos_token_id\":[3,4]}}", "text_config.eos_token_id"),
    ])
    func namesTheFieldItCannotServe(_ document: String, _ field: String) throws {
        let error = #expect(throws: EncoderError.self) { try transformers(document) }
        guard case .unsupported(let what, _, _) = error, what.contains("\"\(field)\"") else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func takesASquareGivenAsTwoNumbers() throws {
        let vision = try transformers(
            "{\"vision_config\":{\"image_size\":[240,240],\"patch_size\":[16,16]}}"
        ).vision
        #expect(vision?.grid == 15)
    }

    @Test func takesOpenCLIPsDefaults() throws {
        let configuration = try openCLIP(
            "{\"model_cfg\":{\"embed_dim\":640,\"vision_cfg\":{},\"text_cfg\":{}}}")
        #expect(
            configuration.text
                == TextConfiguration(
                    vocabularySize: 49_408, width: 512, layers: 12, heads: 8, mlpWidth: 2_048,
                    contextLength: 77, activation: .gelu, eps: 1e-5, pooling: .highestToken,
                    startToken: 49_406, endToken: 49_407, padToken: 0, projection: 640))
        #expect(
            configuration.vision
                == VisionConfiguration(
                    width: 768, layers: 12, heads: 12, mlpWidth: 3_072, patchSize: 16,
                    imageSize: 224, activation: .gelu, eps: 1e-5, projection: 640))
    }

    @Test func readsOpenCLIPsVariants() throws {
        let configuration = try openCLIP(
            "{\"embed_dim\":64,\"quick_gelu\":true,"
                + "\"vision_cfg\":{\"width\":80,\"head_width\":20,\"mlp_ratio\":4.9231,"
                + "\"norm_kwargs\":{\"eps\":1e-6}},"
                + "\"text_cfg\":{\"pool_type\":\"eos\",\"eos_id\":5,\"pad_id\":1}}")
        #expect(configuration.vision?.heads == 4)
        #expect(configuration.vision?.mlpWidth == 393)
        #expect(configuration.vision?.eps == 1e-6)
        #expect(configuration.vision?.activation == .quickGELU)
        #expect(configuration.text?.pooling == .firstEnd)
        #expect(configuration.text?.endToken == 5)
        #expect(configuration.text?.padToken == 1)
    }

    @Test(arguments: [
        (
            "\"vision_cfg\":{\"timm_model_name\":\"vit\"},\"text_cfg\":{}",
            "vision_cfg.timm_model_name"
        ),
        ("\"vision_cfg\":{\"layers\":[3,4,6,3]},\"text_cfg\":{}", "vision_cfg.layers"),
        (
            "\"vision_cfg\":{\"attentional_pool\":true},\"text_cfg\":{}",
            "vision_cfg.attentional_pool"
        ),
        ("\"vision_cfg\":{\"pool_type\":\"avg\"},\"text_cfg\":{}", "vision_cfg.pool_type"),
        ("\"vision_cfg\":{\"ls_init_value\":1},\"text_cfg\":{}", "vision_cfg.ls_init_value"),
        ("\"vision_cfg\":{\"qk_norm\":true},\"text_cfg\":{}", "vision_cfg.qk_norm"),
        ("\"vision_cfg\":{\"no_ln_pre\":true},\"text_cfg\":{}", "vision_cfg.no_ln_pre"),
        ("\"vision_cfg\":{},\"text_cfg\":{\"hf_model_name\":\"bert\"}", "text_cfg.hf_model_name"),
        ("\"vision_cfg\":{},\"text_cfg\":{\"embed_cls\":true}", "text_cfg.embed_cls"),
        ("\"vision_cfg\":{},\"text_cfg\":{\"proj_bias\":true}", "text_cfg.proj_bias"),
        ("\"vision_cfg\":{},\"text_cfg\":{\"pool_type\":\"last\"}", "text_cfg.pool_type"),
        ("\"multimodal_cfg\":{},\"vision_cfg\":{},\"text_cfg\":{}", "multimodal_cfg"),
        ("\"init_logit_bias\":-10,\"vision_cfg\":{},\"text_cfg\":{}", "init_logit_bias"),
    ])
    func namesTheOpenCLIPFieldItCannotServe(_ body: String, _ field: String) throws {
        let error = #expect(throws: EncoderError.self) {
            try openCLIP("{\"model_cfg\":{\"embed_dim\":512,\(body)}}")
        }
        guard case .unsupported(let what, _, _) = error, what.contains("model_cfg.\(field)\"")
        else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    // MARK: damaged documents

    /// Every document that is still JSON gives a configuration whose sizes make sense, or an error.
    @Test func survivesMutations() throws {
        var generator = SeededGenerator(seed: 23)
        let documents = try [
            Fixture.files("transformers-patch7")["config.json"],
            Fixture.files("transformers-legacy-dicts")["config.json"],
            Fixture.files("open-clip-custom-text")["open_clip_config.json"],
        ].map { try #require($0) }
        let odd = [
            "-1", "0", "1", "2", "1e400", "1e308", "-0.5", "null", "true", "\"x\"", "[]", "{}",
            "9223372036854775807", "9223372036854775808", "4294967296", "1.5", "[1,1]", "[3,4,5]",
        ]
        var accepted = 0
        for index in 0..<3_000 {
            var bytes = documents[index % documents.count]
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                let numbers = bytes.indices.filter {
                    UInt8(ascii: "0")...UInt8(ascii: "9") ~= bytes[$0]
                }
                let position = try #require(numbers.randomElement(using: &generator))
                if Bool.random(using: &generator) {
                    bytes[position] = UInt8.random(in: 0x20...0x7e, using: &generator)
                } else {
                    let value = try #require(odd.randomElement(using: &generator))
                    let end =
                        bytes[position...].firstIndex { $0 == 0x2c || $0 == 0x0a } ?? bytes.count
                    let start = bytes[..<position].lastIndex(of: 0x3a).map { $0 + 1 } ?? position
                    bytes.replaceSubrange(min(start, end)..<end, with: value.utf8)
                }
            }
            guard let document = try? JSONValue.parse(bytes) else { continue }
            let configuration: CLIPConfiguration
            do throws(EncoderError) {
                configuration =
                    index % documents.count == 2
                    ? try CLIPConfiguration.openCLIP(document, path: "c")
                    : try CLIPConfiguration.transformers(document, path: "c") { _ in true }
            } catch {
                #expect(!error.description.isEmpty)
                continue
            }
            accepted += 1
            let text = try #require(configuration.text)
            #expect(text.width.isMultiple(of: text.heads) && text.mlpWidth > 0)
            #expect(text.endToken < text.vocabularySize && text.startToken >= 0)
            let vision = try #require(configuration.vision)
            #expect(vision.grid > 0 && vision.tokens < 20_000)
        }
        #expect(accepted > 250)
    }
}
