package import JSON

extension TextConfiguration {
    /// Every field by name, in a fixed order: for reports, and as what a fingerprint covers.
    package var json: JSONObject {
        JSONObject([
            ("vocabulary_size", .integer(vocabularySize)), ("width", .integer(width)),
            ("layers", .integer(layers)), ("heads", .integer(heads)),
            ("mlp_width", .integer(mlpWidth)), ("context_length", .integer(contextLength)),
            ("activation", .string(activation.rawValue)), ("eps", .number(Double(eps))),
            ("pooling", .string(pooling.rawValue)), ("start_token", .integer(Int(startToken))),
            ("end_token", .integer(Int(endToken))), ("pad_token", .integer(Int(padToken))),
            ("projection", projection.map { .integer($0) } ?? .null),
        ])
    }
}

extension VisionConfiguration {
    /// Every field by name, in a fixed order: for reports, and as what a fingerprint covers.
    package var json: JSONObject {
        JSONObject([
            ("width", .integer(width)), ("layers", .integer(layers)), ("heads", .integer(heads)),
            ("mlp_width", .integer(mlpWidth)), ("patch_size", .integer(patchSize)),
            ("image_size", .integer(imageSize)), ("activation", .string(activation.rawValue)),
            ("eps", .number(Double(eps))),
            ("projection", projection.map { .integer($0) } ?? .null),
        ])
    }
}
