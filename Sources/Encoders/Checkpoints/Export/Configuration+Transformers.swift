import JSON

extension CLIPConfiguration {
    /// As transformers' `config.json` (`configuration_clip.py`, 5.23).
    func transformersJSON(_ type: StoredType) -> JSONObject {
        let dtype: JSONValue =
            switch type {
            case .f16: "float16"
            case .bf16: "bfloat16"
            default: "float32"
            }
        let joint = text?.projection ?? vision?.projection
        if let text, let vision {
            return [
                "architectures": ["CLIPModel"], "model_type": "clip", "dtype": dtype,
                "projection_dim": .integer(joint ?? text.width),
                "logit_scale_init_value": .number(initialLogitScale),
                "text_config": .object(text.transformersJSON),
                "vision_config": .object(vision.transformersJSON),
            ]
        }
        var object = text?.transformersJSON ?? vision?.transformersJSON ?? JSONObject()
        let stem = text == nil ? "CLIPVisionModel" : "CLIPTextModel"
        object["architectures"] = [.string(joint == nil ? stem : stem + "WithProjection")]
        object["dtype"] = dtype
        return object
    }
}

extension TextConfiguration {
    fileprivate var transformersJSON: JSONObject {
        var object: JSONObject = [
            "model_type": "clip_text_model", "vocab_size": .integer(vocabularySize),
            "hidden_size": .integer(width), "intermediate_size": .integer(mlpWidth),
            "num_hidden_layers": .integer(layers), "num_attention_heads": .integer(heads),
            "max_position_embeddings": .integer(contextLength),
            "hidden_act": .string(activation.transformersName),
            "layer_norm_eps": .number(decimal(eps)), "bos_token_id": .integer(Int(startToken)),
            "eos_token_id": .integer(Int(endToken)), "pad_token_id": .integer(Int(padToken)),
        ]
        if let projection { object["projection_dim"] = .integer(projection) }
        return object
    }
}

extension VisionConfiguration {
    fileprivate var transformersJSON: JSONObject {
        var object: JSONObject = [
            "model_type": "clip_vision_model", "hidden_size": .integer(width),
            "intermediate_size": .integer(mlpWidth), "num_hidden_layers": .integer(layers),
            "num_attention_heads": .integer(heads), "image_size": .integer(imageSize),
            "patch_size": .integer(patchSize), "num_channels": 3,
            "hidden_act": .string(activation.transformersName),
            "layer_norm_eps": .number(decimal(eps)),
        ]
        if let projection { object["projection_dim"] = .integer(projection) }
        return object
    }
}

extension Activation {
    /// The name in transformers' `ACT2FN`.
    fileprivate var transformersName: String {
        switch self {
        case .quickGELU: "quick_gelu"
        case .gelu: "gelu"
        case .geluTanh: "gelu_pytorch_tanh"
        }
    }
}

extension ImagePreprocessing {
    /// As transformers' `preprocessor_config.json`.
    ///
    /// - Throws: `EncoderError.unsupported` for a resize that `CLIPImageProcessor` does not have.
    func transformersJSON(path: String) throws(EncoderError) -> JSONObject {
        let size: JSONValue
        switch resize {
        case .none: size = .null
        case .shortest(let edge): size = ["shortest_edge": .integer(edge)]
        case .bounded(let shortest, let longest):
            size = ["shortest_edge": .integer(shortest), "longest_edge": .integer(longest)]
        case .squash(let height, let width):
            size = ["height": .integer(height), "width": .integer(width)]
        case .cover, .fit:
            throw .unsupported(
                what: "the preprocessing of \(path)",
                expected: "a resize that transformers has (shortest side, or to a size)",
                actual: "one that keeps the aspect ratio within a size")
        }
        var object: JSONObject = [
            "image_processor_type": "CLIPImageProcessor", "do_resize": .bool(resize != .none),
            "resample": .integer(interpolation.rawValue), "do_center_crop": .bool(centerCrops),
            "crop_size": ["height": .integer(height), "width": .integer(width)],
            "do_rescale": .bool(rescaleFactor != nil), "do_normalize": .bool(mean != nil),
            "do_convert_rgb": .bool(convertsToRGB),
        ]
        if size != .null { object["size"] = size }
        if let rescaleFactor { object["rescale_factor"] = .number(rescaleFactor) }
        if let mean { object["image_mean"] = .array(mean.map { .number(decimal($0)) }) }
        if let std { object["image_std"] = .array(std.map { .number(decimal($0)) }) }
        return object
    }
}

/// The shortest decimal number that reads back as this float: 1e-05, not 9.99999974737875e-06.
private func decimal(_ value: Float) -> Double { Double("\(value)") ?? Double(value) }
