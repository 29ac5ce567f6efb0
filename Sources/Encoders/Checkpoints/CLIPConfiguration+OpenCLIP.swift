package import JSON

/// Reading of open_clip's `open_clip_config.json` (defaults: `model.py`'s `CLIPVisionCfg` and
/// `CLIPTextCfg`, 3.3).
extension CLIPConfiguration {
    /// Both towers, from the member `model_cfg` or, as in open_clip's own model files, the top.
    package static func openCLIP(
        _ document: JSONValue, path: String
    ) throws(EncoderError) -> CLIPConfiguration {
        guard let object = document.objectValue else {
            throw .malformed(
                path: path, offset: 0, expected: "a JSON object", actual: document.kind)
        }
        let top = ConfigurationFields(path: path, prefix: "", object: object)
        let model = try top.fields("model_cfg") ?? top
        for field in ["multimodal_cfg", "init_logit_bias"] where model.has(field) {
            throw model.unsupported(
                field, "none", "\(model.value(field)?.kind ?? "none")")
        }
        let joint = try model.integer("embed_dim", default: nil, in: ConfigurationLimits.width)
        let quick = try model.flag("quick_gelu", default: false)
        guard let vision = try model.fields("vision_cfg") else {
            throw model.fault("vision_cfg", "an object", "none")
        }
        guard let text = try model.fields("text_cfg") else {
            throw model.fault("text_cfg", "an object", "none")
        }
        var result = CLIPConfiguration(layout: .openCLIP, text: nil, vision: nil)
        result.initialLogitScale = try model.number(
            "init_logit_scale", default: 2.6592, in: logitScaleRange)
        result.vision = try openCLIPVision(vision, quick: quick, joint)
        result.text = try openCLIPText(text, quick: quick, joint)
        return result
    }

    private static func openCLIPVision(
        _ fields: ConfigurationFields, quick: Bool, _ projection: Int
    ) throws(EncoderError) -> VisionConfiguration {
        if let name = fields.value("timm_model_name") {
            throw fields.unsupported("timm_model_name", "none", name.text())
        }
        if let list = fields.value("layers")?.arrayValue {
            throw fields.unsupported(
                "layers", "one number of transformer layers",
                "\(JSONValue.array(list).text()), a ResNet")
        }
        for field in ["attentional_pool", "no_ln_pre"] where try fields.flagOrText(field) {
            throw fields.unsupported(field, "false", fields.value(field)?.text() ?? "none")
        }
        try refuseBlockVariants(fields)
        let pooling = try fields.text("pool_type", default: "tok")
        guard pooling == "tok" else {
            throw fields.unsupported("pool_type", "\"tok\"", "\"\(pooling)\"")
        }
        let width = try fields.integer("width", default: 768, in: ConfigurationLimits.width)
        let headWidth = try fields.integer("head_width", default: 64, in: 1...width)
        // open_clip rounds down; attention then needs the result to divide the width.
        let heads = width / headWidth
        guard ConfigurationLimits.heads.contains(heads), width.isMultiple(of: heads) else {
            throw fields.fault(
                "head_width", "a width of heads that divide the width \(width)", "\(headWidth)")
        }
        let image = try fields.side("image_size", default: 224, in: ConfigurationLimits.image)
        let configuration = VisionConfiguration(
            width: width,
            layers: try fields.integer("layers", default: 12, in: ConfigurationLimits.layers),
            heads: heads,
            mlpWidth: try mlpWidth(fields, width: width),
            patchSize: try fields.side("patch_size", default: 16, in: 1...image),
            imageSize: image,
            activation: try openCLIPActivation(fields, quick: quick),
            eps: try openCLIPEps(fields),
            projection: projection)
        return try checkedTokens(configuration, fields, field: "patch_size")
    }

    private static func openCLIPText(
        _ fields: ConfigurationFields, quick: Bool, _ joint: Int
    ) throws(EncoderError) -> TextConfiguration {
        if let name = fields.value("hf_model_name") {
            throw fields.unsupported("hf_model_name", "none", name.text())
        }
        for field in ["embed_cls", "no_causal_mask", "proj_bias"]
        where try fields.flag(field, default: false) {
            throw fields.unsupported(field, "false", "true")
        }
        try refuseBlockVariants(fields)
        let width = try fields.integer("width", default: 512, in: ConfigurationLimits.width)
        let vocabulary = try fields.integer(
            "vocab_size", default: 49_408, in: ConfigurationLimits.vocabulary)
        let poolingName = try fields.text("pool_type", default: "argmax")
        let pooling: TextPooling
        // open_clip's vocabularies end in the start and the end token.
        var endToken = vocabulary - 1
        switch poolingName {
        case "argmax": pooling = .highestToken
        case "eos":
            pooling = .firstEnd
            endToken = try fields.integer("eos_id", default: 2, in: 0...(vocabulary - 1))
        default:
            throw fields.unsupported("pool_type", "\"argmax\" or \"eos\"", "\"\(poolingName)\"")
        }
        let projectionName = try fields.text("proj_type", default: "linear")
        guard projectionName == "linear" || (projectionName == "none" && width == joint) else {
            throw fields.unsupported(
                "proj_type", "\"linear\", or \"none\" with a width equal to embed_dim",
                "\"\(projectionName)\"")
        }
        return TextConfiguration(
            vocabularySize: vocabulary, width: width,
            layers: try fields.integer("layers", default: 12, in: ConfigurationLimits.layers),
            heads: try heads(fields, field: "heads", default: 8, width: width),
            mlpWidth: try mlpWidth(fields, width: width),
            contextLength: try fields.integer(
                "context_length", default: 77, in: ConfigurationLimits.context),
            activation: try openCLIPActivation(fields, quick: quick),
            eps: try openCLIPEps(fields),
            pooling: pooling,
            startToken: Int32(vocabulary - 2), endToken: Int32(endToken),
            padToken: Int32(try fields.integer("pad_id", default: 0, in: 0...(vocabulary - 1))),
            projection: projectionName == "none" ? nil : joint)
    }

    /// Blocks with more inside than attention and MLP.
    private static func refuseBlockVariants(
        _ fields: ConfigurationFields
    ) throws(EncoderError) {
        if let scale = fields.value("ls_init_value") {
            throw fields.unsupported("ls_init_value", "none", scale.text())
        }
        let block = try fields.text("block_type", default: "default")
        guard block == "default" else {
            throw fields.unsupported("block_type", "\"default\"", "\"\(block)\"")
        }
        let variants = [
            "qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn",
            "scale_fc",
        ]
        for field in variants where try fields.flag(field, default: false) {
            throw fields.unsupported(field, "false", "true")
        }
    }

    private static func mlpWidth(
        _ fields: ConfigurationFields, width: Int
    ) throws(EncoderError) -> Int {
        let ratio = try fields.number("mlp_ratio", default: 4, in: 1e-3...64)
        // As Python's int(width * mlp_ratio).
        let product = Int(Double(width) * ratio)
        guard ConfigurationLimits.mlpWidth.contains(product) else {
            throw fields.fault(
                "mlp_ratio", "an MLP of \(ConfigurationLimits.mlpWidth) units", "\(ratio)")
        }
        return product
    }

    private static func openCLIPActivation(
        _ fields: ConfigurationFields, quick: Bool
    ) throws(EncoderError) -> Activation {
        guard let arguments = try fields.fields("act_kwargs"), !arguments.object.isEmpty else {
            return quick ? .quickGELU : .gelu
        }
        let approximate = try arguments.text("approximate", default: "none")
        switch (quick, arguments.object.count, approximate) {
        case (false, 1, "none"): return .gelu
        case (false, 1, "tanh"): return .geluTanh
        default:
            throw fields.unsupported(
                "act_kwargs", "{\"approximate\": \"none\" or \"tanh\"} without quick_gelu",
                JSONValue.object(arguments.object).text())
        }
    }

    private static func openCLIPEps(_ fields: ConfigurationFields) throws(EncoderError) -> Float {
        guard let arguments = try fields.fields("norm_kwargs") else { return 1e-5 }
        for key in arguments.object.keys where key != "eps" {
            throw arguments.unsupported(key, "none", arguments.object[key]?.text() ?? "none")
        }
        return Float(
            try arguments.number("eps", default: 1e-5, in: ConfigurationLimits.eps))
    }
}

extension ConfigurationFields {
    /// Whether a switch that may also name a variant is on.
    fileprivate func flagOrText(_ field: String) throws(EncoderError) -> Bool {
        guard let value = value(field) else { return false }
        if let text = value.stringValue { return !text.isEmpty }
        return try flag(field, default: false)
    }
}
