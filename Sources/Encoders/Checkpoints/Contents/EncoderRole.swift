/// Which encoder of a pipeline a tower is.
public enum EncoderRole: String, Sendable, Equatable, CaseIterable {
    /// A model of its own: an image tower, a text tower or both.
    case clip
    /// OpenAI's ViT-L/14 text tower (768 wide), as SD1, SDXL, SD3 and FLUX use it.
    case clipL = "clip_l"
    /// OpenCLIP's bigG text tower (1280 wide), as SDXL, its refiner and SD3 use it.
    case clipG = "clip_g"
    /// OpenCLIP's ViT-H/14 text tower (1024 wide), as SD2 uses it.
    case clipH = "clip_h"
    /// The image tower of unCLIP pipelines and IP-Adapters.
    case imageEncoder = "image_encoder"
}

/// What a path turned out to hold.
public enum CheckpointFormat: String, Sendable, Equatable, CaseIterable {
    /// A directory with `config.json`.
    case transformers
    /// A directory with `open_clip_config.json`, or OpenCLIP's weights alone.
    case openCLIP = "open_clip"
    /// A file as OpenAI distributed CLIP: a TorchScript module, or its state dictionary.
    case openAI = "openai"
    /// A pipeline's directory with `model_index.json`.
    case diffusers
    /// Single files of whole pipelines.
    case sd1, sd2, sdxl, sd3, flux
    case sdxlRefiner = "sdxl-refiner"
    /// A text tower alone (ComfyUI's `clip_l.safetensors`, `clip_g.safetensors`).
    case textEncoder = "text-encoder"
    /// An image tower alone.
    case imageEncoder = "image-encoder"
    /// clip.cpp's GGUF files.
    case gguf
}

/// What an encoder can be used for; raw values are the recipes of `condition` where there is one.
public enum CheckpointUse: String, Sendable, Equatable, CaseIterable {
    /// Embeddings, scores and rankings of texts and images.
    case embedding
    /// Gradients of a score with respect to pixels.
    case gradient
    case sd1, sd2, sdxl
    case sdxlRefiner = "sdxl-refiner"
    case sd3CLIP = "sd3-clip"
    case fluxCLIP = "flux-clip"
    case unCLIP = "unclip"
    case ipAdapter = "ip-adapter"
}
