import Glibc
import JSON

/// The towers of a GGUF file under clip.cpp's names (`convert_hf_to_gguf.py` of clip.cpp).
enum GGUFContents {
    /// - Throws: `EncoderError` naming the field or tensor that is missing or wrong.
    static func contents(_ file: GGUFFile) throws(EncoderError) -> CheckpointContents {
        guard
            file.metadata["clip.has_text_encoder"] != nil
                || file.metadata["clip.has_vision_encoder"] != nil
        else {
            // Other tools keep the original names.
            return try SingleFile.contents(file)
        }
        let tensors = ClipCppTensors(file)
        let activation: Activation = try flag(file, "clip.use_gelu") ? .gelu : .quickGELU
        var configuration = CLIPConfiguration(layout: .transformers, text: nil, vision: nil)
        // clip.cpp leaves the scale out. CLIP's training clamps it at 100, where OpenAI's and LAION's
        // models all ended.
        configuration.initialLogitScale = log(100)
        if try flag(file, "clip.has_text_encoder") {
            var text = try InferredSizes.text(
                tensors, layout: .transformers, activation: activation, padToken: nil,
                heads: try heads(file, "clip.text"))
            text.eps = try eps(file, "clip.text")
            configuration.text = text
        }
        if try flag(file, "clip.has_vision_encoder") {
            var vision = try InferredSizes.vision(
                tensors, layout: .transformers, activation: activation,
                heads: try heads(file, "clip.vision"))
            vision.eps = try eps(file, "clip.vision")
            configuration.vision = vision
        }
        guard configuration.text != nil || configuration.vision != nil else {
            throw .configuration(
                path: file.path, field: "clip.has_text_encoder", expected: "a tower",
                actual: "none")
        }
        var tower = CheckpointTower(
            role: configuration.text == nil ? .imageEncoder : .clip, configuration: configuration,
            tokenizerFiles: nil, preprocessingFiles: try preprocessing(file, configuration),
            padToken: nil, tensors: tensors)
        tower.isBuiltInVocabulary = try isCLIPVocabulary(file)
        return CheckpointContents(path: file.path, format: .gguf, towers: [tower])
    }

    /// Whether the file's tokens are CLIP's own, as they must be for the built-in tokenizer: the
    /// list alone does not say how words are split into them.
    private static func isCLIPVocabulary(_ file: GGUFFile) throws(EncoderError) -> Bool {
        guard let value = file.metadata["tokenizer.ggml.tokens"] else { return true }
        guard case .texts(let tokens) = value else {
            throw fault(file, "tokenizer.ggml.tokens", "a list of texts")
        }
        return tokens == BytePairTokenizer.clipSpellings
    }

    private static func preprocessing(
        _ file: GGUFFile, _ configuration: CLIPConfiguration
    ) throws(EncoderError) -> CheckpointFiles? {
        guard let vision = configuration.vision else { return nil }
        var own = ImagePreprocessing(profile: .transformersPIL, size: vision.imageSize)
        for (key, isMean) in [("clip.vision.image_mean", true), ("clip.vision.image_std", false)] {
            guard let value = file.metadata[key] else { continue }
            guard case .numbers(let numbers) = value, numbers.count == 3,
                numbers.allSatisfy({ $0.isFinite && (isMean || $0 > 0) })
            else { throw fault(file, key, "three numbers") }
            if isMean {
                own.mean = numbers.map { Float($0) }
            } else {
                own.std = numbers.map { Float($0) }
            }
        }
        let document = try own.transformersJSON(path: file.path)
        return .memory(
            ["preprocessor_config.json": JSONValue.object(document).serialized()], path: file.path)
    }

    private static func flag(_ file: GGUFFile, _ key: String) throws(EncoderError) -> Bool {
        guard let value = file.metadata[key] else { return false }
        guard case .flag(let flag) = value else { throw fault(file, key, "true or false") }
        return flag
    }

    private static func heads(_ file: GGUFFile, _ tower: String) throws(EncoderError) -> Int? {
        let key = tower + ".attention.head_count"
        guard let value = file.metadata[key] else { return nil }
        guard case .integer(let heads) = value, ConfigurationLimits.heads.contains(heads) else {
            throw fault(file, key, "a number of heads")
        }
        return heads
    }

    private static func eps(_ file: GGUFFile, _ tower: String) throws(EncoderError) -> Float {
        let key = tower + ".attention.layer_norm_epsilon"
        guard let value = file.metadata[key] else { return 1e-5 }
        guard case .number(let eps) = value, ConfigurationLimits.eps.contains(eps) else {
            throw fault(
                file, key,
                "a number from \(ConfigurationLimits.eps.lowerBound) to "
                    + "\(ConfigurationLimits.eps.upperBound)")
        }
        return Float(eps)
    }

    private static func fault(
        _ file: GGUFFile, _ key: String, _ expected: String
    ) -> EncoderError {
        let actual: String =
            switch file.metadata[key] {
            case .integer(let value): "\(value)"
            case .number(let value): "\(value)"
            case .flag(let value): "\(value)"
            case .text(let value): "\"\(value.prefix(100))\""
            case .texts, .numbers, .other: "a list"
            case nil: "none"
            }
        return .configuration(path: file.path, field: key, expected: expected, actual: actual)
    }
}

/// The tensors of a clip.cpp file under transformers' names.
///
/// The two matrices of the MLP are called by what they are in clip.cpp's first files, where
/// `ffn_down` comes first, or as everywhere else, where `ffn_up` does: their shapes tell.
struct ClipCppTensors: TensorSource {
    let path: String
    let tensorNames: [String]
    private let file: GGUFFile
    /// clip.cpp's name of each of transformers'.
    private let stored: [String: String]

    var container: TensorContainer { .gguf }

    init(_ file: GGUFFile) {
        self.file = file
        path = file.path
        var stored: [String: String] = [:]
        for name in file.tensorNames {
            stored[Self.transformersName(name, isSwapped: Self.isSwapped(file, name))] = name
        }
        self.stored = stored
        tensorNames = file.tensorNames.map {
            Self.transformersName($0, isSwapped: Self.isSwapped(file, $0))
        }
    }

    func shape(of name: String) -> [Int]? { stored[name].flatMap { file.shape(of: $0) } }
    func storedType(of name: String) -> StoredType? {
        stored[name].flatMap { file.storedType(of: $0) }
    }

    func releasePages() { file.releasePages() }

    func readStoredBytes(
        _ name: String, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(EncoderError) -> Bool {
        guard let stored = stored[name] else { return false }
        return try file.readStoredBytes(stored, body)
    }

    /// Whether the layer of a tensor calls its first matrix `ffn_up`.
    private static func isSwapped(_ file: GGUFFile, _ name: String) -> Bool {
        guard let range = name.firstRange(of: ".ffn_") else { return false }
        let layer = name[..<range.lowerBound]
        guard let up = file.shape(of: layer + ".ffn_up.weight"),
            let norm = file.shape(of: layer + ".ln1.weight"), up.count == 2, norm.count == 1
        else { return false }
        return up[1] == norm[0] && up[0] != norm[0]
    }

    private static func transformersName(_ name: String, isSwapped: Bool) -> String {
        for (prefix, tower) in [("t.", "text_model."), ("v.", "vision_model.")]
        where name.hasPrefix(prefix) {
            let rest = name.dropFirst(prefix.count)
            guard rest.hasPrefix("blk.") else {
                let found = (prefix == "t." ? textNorms : imageNorms)[String(rest)]
                return tower + (found ?? top[String(rest)] ?? String(rest))
            }
            let parts = rest.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { return name }
            let pieces = parts[2].split(separator: ".", maxSplits: 1)
            guard pieces.count == 2, var module = blocks[String(pieces[0])] else { return name }
            if isSwapped, module.hasPrefix("mlp.") {
                module = module == "mlp.fc1" ? "mlp.fc2" : "mlp.fc1"
            }
            return "\(tower)encoder.layers.\(parts[1]).\(module).\(pieces[1])"
        }
        return name
    }

    private static let blocks = [
        "ln1": "layer_norm1", "ln2": "layer_norm2", "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
        "attn_out": "self_attn.out_proj", "ffn_down": "mlp.fc1", "ffn_up": "mlp.fc2",
    ]

    private static let textNorms = [
        "post_ln.weight": "final_layer_norm.weight", "post_ln.bias": "final_layer_norm.bias",
    ]

    /// The misspelling is transformers'.
    private static let imageNorms = [
        "pre_ln.weight": "pre_layrnorm.weight", "pre_ln.bias": "pre_layrnorm.bias",
        "post_ln.weight": "post_layernorm.weight", "post_ln.bias": "post_layernorm.bias",
    ]

    private static let top = [
        "token_embd.weight": "embeddings.token_embedding.weight",
        "position_embd.weight": "embeddings.position_embedding.weight",
        "patch_embd.weight": "embeddings.patch_embedding.weight",
        "class_embd": "embeddings.class_embedding",
    ]
}
