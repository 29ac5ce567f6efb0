/// How one checkpoint layout spells the tensors of a transformer block; a norm or matrix is a stem,
/// to which `.weight` and `.bias` are added.
struct LayerTensorNames {
    enum Attention {
        /// Three matrices [W, W].
        case separate(q: String, k: String, v: String)
        /// One matrix [3W, W] with the rows of q, k, v, under names of its own.
        case fused(weight: String, bias: String)
    }

    let attentionNorm: String
    let attention: Attention
    let out: String
    let mlpNorm: String
    let fc1: String
    let fc2: String
}

/// A matrix that some layouts store as [in, out] instead of [out, in].
struct ProjectionName {
    let name: String
    let isTransposed: Bool
}

/// How one checkpoint layout spells a text tower.
struct TextTensorNames {
    let tokenEmbedding: String
    let positionEmbedding: String
    let layer: @Sendable (Int) -> LayerTensorNames
    let finalNorm: String
    let projection: ProjectionName
    /// Every tensor under one of these belongs to the tower; one that was not asked for is an error.
    let namespaces: [String]
}

/// How one checkpoint layout spells an image tower.
struct VisionTensorNames {
    let patchEmbedding: String
    let classEmbedding: String
    let positionEmbedding: String
    let preNorm: String
    let layer: @Sendable (Int) -> LayerTensorNames
    let postNorm: String
    let projection: ProjectionName
    /// Every tensor under one of these belongs to the tower; one that was not asked for is an error.
    let namespaces: [String]
}

extension TextTensorNames {
    /// The names that a source uses in a layout: lone towers may lack the prefix of their tower.
    static func find(_ layout: CheckpointLayout, in source: any TensorSource) -> TextTensorNames {
        switch layout {
        case .transformers:
            let bare = transformers(prefix: "")
            return source.shape(of: bare.tokenEmbedding) != nil
                ? bare : transformers(prefix: "text_model.")
        case .openCLIP:
            let custom = openCLIP(prefix: "text.")
            return source.shape(of: custom.tokenEmbedding) != nil ? custom : openCLIP(prefix: "")
        }
    }
}

extension VisionTensorNames {
    /// The names that a source uses in a layout: lone towers may lack the prefix of their tower.
    static func find(_ layout: CheckpointLayout, in source: any TensorSource) -> VisionTensorNames {
        switch layout {
        case .transformers:
            let bare = transformers(prefix: "")
            return source.shape(of: bare.classEmbedding) != nil
                ? bare : transformers(prefix: "vision_model.")
        case .openCLIP: return openCLIP()
        }
    }
}

// MARK: - transformers (`modeling_clip.py`)

extension LayerTensorNames {
    static func transformers(_ prefix: String) -> LayerTensorNames {
        LayerTensorNames(
            attentionNorm: prefix + "layer_norm1",
            attention: .separate(
                q: prefix + "self_attn.q_proj", k: prefix + "self_attn.k_proj",
                v: prefix + "self_attn.v_proj"),
            out: prefix + "self_attn.out_proj",
            mlpNorm: prefix + "layer_norm2",
            fc1: prefix + "mlp.fc1",
            fc2: prefix + "mlp.fc2")
    }
}

extension TextTensorNames {
    /// - Parameter prefix: `text_model.`, or nothing for a lone tower saved without it.
    static func transformers(prefix: String) -> TextTensorNames {
        TextTensorNames(
            tokenEmbedding: prefix + "embeddings.token_embedding.weight",
            positionEmbedding: prefix + "embeddings.position_embedding.weight",
            layer: { .transformers(prefix + "encoder.layers.\($0).") },
            finalNorm: prefix + "final_layer_norm",
            projection: ProjectionName(name: "text_projection.weight", isTransposed: false),
            namespaces: prefix.isEmpty
                ? ["embeddings.", "encoder.", "final_layer_norm.", "text_projection"]
                : [prefix, "text_projection"])
    }
}

extension VisionTensorNames {
    /// - Parameter prefix: `vision_model.`, or nothing for a lone tower saved without it.
    static func transformers(prefix: String) -> VisionTensorNames {
        VisionTensorNames(
            patchEmbedding: prefix + "embeddings.patch_embedding.weight",
            classEmbedding: prefix + "embeddings.class_embedding",
            positionEmbedding: prefix + "embeddings.position_embedding.weight",
            // The misspelling is the format.
            preNorm: prefix + "pre_layrnorm",
            layer: { .transformers(prefix + "encoder.layers.\($0).") },
            postNorm: prefix + "post_layernorm",
            projection: ProjectionName(name: "visual_projection.weight", isTransposed: false),
            namespaces: prefix.isEmpty
                ? [
                    "embeddings.", "encoder.", "pre_layrnorm.", "post_layernorm.",
                    "visual_projection",
                ]
                : [prefix, "visual_projection"])
    }
}

// MARK: - open_clip (`transformer.py`), and OpenAI's own names, which are the same

extension LayerTensorNames {
    static func openCLIP(_ prefix: String) -> LayerTensorNames {
        LayerTensorNames(
            attentionNorm: prefix + "ln_1",
            attention: .fused(
                weight: prefix + "attn.in_proj_weight", bias: prefix + "attn.in_proj_bias"),
            out: prefix + "attn.out_proj",
            mlpNorm: prefix + "ln_2",
            fc1: prefix + "mlp.c_fc",
            fc2: prefix + "mlp.c_proj")
    }
}

extension TextTensorNames {
    /// - Parameter prefix: `text.` for a `CustomTextCLIP`, nothing for a `CLIP`.
    static func openCLIP(prefix: String) -> TextTensorNames {
        TextTensorNames(
            tokenEmbedding: prefix + "token_embedding.weight",
            positionEmbedding: prefix + "positional_embedding",
            layer: { .openCLIP(prefix + "transformer.resblocks.\($0).") },
            finalNorm: prefix + "ln_final",
            projection: ProjectionName(name: prefix + "text_projection", isTransposed: true),
            namespaces: prefix.isEmpty
                ? [
                    "token_embedding", "positional_embedding", "transformer.", "ln_final.",
                    "text_projection", "text.",
                ] : [prefix])
    }
}

extension VisionTensorNames {
    static func openCLIP() -> VisionTensorNames {
        VisionTensorNames(
            patchEmbedding: "visual.conv1.weight",
            classEmbedding: "visual.class_embedding",
            positionEmbedding: "visual.positional_embedding",
            preNorm: "visual.ln_pre",
            layer: { .openCLIP("visual.transformer.resblocks.\($0).") },
            postNorm: "visual.ln_post",
            projection: ProjectionName(name: "visual.proj", isTransposed: true),
            namespaces: ["visual."])
    }
}
