package import JSON

/// Reading of transformers' `config.json` (defaults: `configuration_clip.py`, 5.23).
extension CLIPConfiguration {
    /// Which towers the document describes and with which fields.
    enum TransformersKind: String {
        case both = "clip"
        case text = "clip_text_model"
        case vision = "clip_vision_model"
    }

    /// Both towers (`CLIPModel`), or one alone (`CLIPTextModel`, `CLIPVisionModel`, each with or
    /// without a projection).
    ///
    /// - Parameter hasTensor: decides whether a tower that stands alone has its projection, which the
    ///   configuration does not say.
    package static func transformers(
        _ document: JSONValue, path: String, hasTensor: (String) -> Bool
    ) throws(EncoderError) -> CLIPConfiguration {
        guard let object = document.objectValue else {
            throw .malformed(
                path: path, offset: 0, expected: "a JSON object", actual: document.kind)
        }
        let top = ConfigurationFields(path: path, prefix: "", object: object)
        let kind = try transformersKind(top)
        var result = CLIPConfiguration(layout: .transformers, text: nil, vision: nil)
        result.initialLogitScale = try top.number(
            "logit_scale_init_value", default: 2.6592, in: logitScaleRange)
        switch kind {
        case .both:
            // The projections' width is the top one; the nested ones belong to lone towers.
            let joint = try top.integer(
                "projection_dim", default: 512, in: ConfigurationLimits.width)
            result.text = try transformersText(try nested("text_config", of: top), joint)
            result.vision = try transformersVision(try nested("vision_config", of: top), joint)
        case .text:
            let joint = try top.integer(
                "projection_dim", default: 512, in: ConfigurationLimits.width)
            result.text = try transformersText(
                top, hasTensor("text_projection.weight") ? joint : nil)
        case .vision:
            let joint = try top.integer(
                "projection_dim", default: 512, in: ConfigurationLimits.width)
            result.vision = try transformersVision(
                top, hasTensor("visual_projection.weight") ? joint : nil)
        }
        return result
    }

    /// ln(scale) beyond this would make the scale itself useless in fp32.
    static let logitScaleRange = -20.0...20.0

    private static func transformersKind(
        _ top: ConfigurationFields
    ) throws(EncoderError) -> TransformersKind {
        guard top.has("model_type") else {
            let nested = ["text_config", "vision_config", "text_config_dict", "vision_config_dict"]
            if nested.contains(where: { top.has($0) }) { return .both }
            throw top.fault("model_type", "clip, clip_text_model or clip_vision_model", "none")
        }
        let name = try top.text("model_type", default: "")
        guard let kind = TransformersKind(rawValue: name) else {
            throw top.unsupported(
                "model_type", "clip, clip_text_model or clip_vision_model", "\"\(name)\"")
        }
        return kind
    }

    /// A tower's object; transformers lets a legacy `…_dict` beside it replace it as a whole.
    private static func nested(
        _ field: String, of top: ConfigurationFields
    ) throws(EncoderError) -> ConfigurationFields {
        if let legacy = try top.fields(field + "_dict") { return legacy }
        return try top.fields(field)
            ?? ConfigurationFields(path: top.path, prefix: field + ".", object: JSONObject())
    }

    private static func transformersText(
        _ fields: ConfigurationFields, _ projection: Int?
    ) throws(EncoderError) -> TextConfiguration {
        let vocabulary = try fields.integer(
            "vocab_size", default: 49_408, in: ConfigurationLimits.vocabulary)
        let width = try fields.integer("hidden_size", default: 512, in: ConfigurationLimits.width)
        let end = try endToken(fields)
        let pooling: TextPooling
        let startToken: Int
        let endToken: Int
        if end == 2 {
            // Files from before transformers' #24773 carry ids that no tokenizer used; the model then
            // pools at the highest id. CLIP's vocabularies end in the start and the end token.
            pooling = .highestToken
            startToken = vocabulary - 2
            endToken = vocabulary - 1
        } else {
            pooling = .firstEnd
            endToken = end
            guard endToken < vocabulary else {
                throw fields.fault(
                    "eos_token_id", "a token below vocab_size \(vocabulary)", "\(endToken)")
            }
            startToken = try fields.integer(
                "bos_token_id", default: 49_406, in: 0...(vocabulary - 1), nullable: true)
        }
        return TextConfiguration(
            vocabularySize: vocabulary, width: width,
            layers: try fields.integer(
                "num_hidden_layers", default: 12, in: ConfigurationLimits.layers),
            heads: try heads(fields, field: "num_attention_heads", default: 8, width: width),
            mlpWidth: try fields.integer(
                "intermediate_size", default: 2_048, in: ConfigurationLimits.mlpWidth),
            contextLength: try fields.integer(
                "max_position_embeddings", default: 77, in: ConfigurationLimits.context),
            activation: try activation(fields),
            eps: Float(
                try fields.number("layer_norm_eps", default: 1e-5, in: ConfigurationLimits.eps)),
            pooling: pooling, startToken: Int32(startToken), endToken: Int32(endToken),
            padToken: Int32(
                min(
                    try fields.integer(
                        "pad_token_id", default: 1, in: ConfigurationLimits.token, nullable: true),
                    vocabulary - 1)),
            projection: projection)
    }

    /// One id; transformers also takes a list, of which CLIP uses none but the only one.
    private static func endToken(_ fields: ConfigurationFields) throws(EncoderError) -> Int {
        guard let list = fields.value("eos_token_id")?.arrayValue else {
            return try fields.integer(
                "eos_token_id", default: 49_407, in: ConfigurationLimits.token)
        }
        guard list.count == 1, let token = list[0].intValue,
            ConfigurationLimits.token.contains(token)
        else {
            throw fields.unsupported("eos_token_id", "one token", JSONValue.array(list).text())
        }
        return token
    }

    private static func transformersVision(
        _ fields: ConfigurationFields, _ projection: Int?
    ) throws(EncoderError) -> VisionConfiguration {
        let width = try fields.integer("hidden_size", default: 768, in: ConfigurationLimits.width)
        let channels = try fields.integer("num_channels", default: 3, in: 1...1_024)
        guard channels == 3 else {
            throw fields.unsupported("num_channels", "3", "\(channels)")
        }
        let image = try fields.side("image_size", default: 224, in: ConfigurationLimits.image)
        let configuration = VisionConfiguration(
            width: width,
            layers: try fields.integer(
                "num_hidden_layers", default: 12, in: ConfigurationLimits.layers),
            heads: try heads(fields, field: "num_attention_heads", default: 12, width: width),
            mlpWidth: try fields.integer(
                "intermediate_size", default: 3_072, in: ConfigurationLimits.mlpWidth),
            patchSize: try fields.side("patch_size", default: 32, in: 1...image),
            imageSize: image,
            activation: try activation(fields),
            eps: Float(
                try fields.number("layer_norm_eps", default: 1e-5, in: ConfigurationLimits.eps)),
            projection: projection)
        return try checkedTokens(configuration, fields, field: "patch_size")
    }

    static func heads(
        _ fields: ConfigurationFields, field: String, default standard: Int?, width: Int
    ) throws(EncoderError) -> Int {
        let heads = try fields.integer(field, default: standard, in: ConfigurationLimits.heads)
        guard width.isMultiple(of: heads) else {
            throw fields.fault(field, "a divisor of the width \(width)", "\(heads)")
        }
        return heads
    }

    static func checkedTokens(
        _ configuration: VisionConfiguration, _ fields: ConfigurationFields, field: String
    ) throws(EncoderError) -> VisionConfiguration {
        guard ConfigurationLimits.tokens.contains(configuration.tokens) else {
            throw fields.fault(
                field, "patches that make at most \(ConfigurationLimits.tokens.upperBound) tokens",
                "\(configuration.patchSize) (\(configuration.tokens) tokens)")
        }
        return configuration
    }

    /// transformers' names (`activations.py`, ACT2FN) of what the towers compute.
    private static func activation(
        _ fields: ConfigurationFields
    ) throws(EncoderError) -> Activation {
        let name = try fields.text("hidden_act", default: "quick_gelu")
        switch name {
        case "quick_gelu": return .quickGELU
        case "gelu", "gelu_python": return .gelu
        case "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_accurate": return .geluTanh
        default:
            throw fields.unsupported(
                "hidden_act", "quick_gelu, gelu, gelu_new or gelu_pytorch_tanh", "\"\(name)\"")
        }
    }
}
