import Encoders

extension ConditioningRecipe {
    /// Every recipe that texts are conditioned by.
    ///
    /// Read in diffusers 0.42 (`pipelines/stable_diffusion*`, `flux`: `encode_prompt`,
    /// `_get_clip_prompt_embeds`) and compared with it by the tests; the padding tokens are those of
    /// the published tokenizers, the same as in ComfyUI (`comfy/sd1_clip.py`, `sdxl_clip.py`,
    /// `sd3_clip.py`: `pad_with_end`).
    public static let table: [ConditioningRecipe] = [
        ConditioningRecipe(
            name: "sd1", title: "Stable Diffusion 1",
            encoders: [
                EncoderRecipe(
                    roles: [.clipL, .clip], layer: .last, normalizesHidden: true, padding: .end,
                    pooled: nil)
            ],
            hasHiddenStates: true, hiddenWidth: nil, timeIDs: nil, absentNegative: .empty,
            zeroesEmptyNegativeInA1111: false),
        ConditioningRecipe(
            name: "sd2", title: "Stable Diffusion 2",
            encoders: [
                EncoderRecipe(
                    roles: [.clipH, .clip], layer: .penultimateAsTrained, normalizesHidden: true,
                    padding: .id(0), pooled: nil)
            ],
            hasHiddenStates: true, hiddenWidth: nil, timeIDs: nil, absentNegative: .empty,
            zeroesEmptyNegativeInA1111: false),
        ConditioningRecipe(
            name: "sdxl", title: "Stable Diffusion XL",
            encoders: [
                EncoderRecipe(
                    roles: [.clipL], layer: .penultimate, normalizesHidden: false, padding: .end,
                    pooled: nil),
                EncoderRecipe(
                    roles: [.clipG], layer: .penultimate, normalizesHidden: false, padding: .id(0),
                    pooled: .projected),
            ],
            hasHiddenStates: true, hiddenWidth: nil, timeIDs: .sizes, absentNegative: .zeros,
            zeroesEmptyNegativeInA1111: true),
        ConditioningRecipe(
            name: "sdxl-refiner", title: "Stable Diffusion XL refiner",
            encoders: [
                EncoderRecipe(
                    roles: [.clipG, .clip], layer: .penultimate, normalizesHidden: false,
                    padding: .id(0), pooled: .projected)
            ],
            hasHiddenStates: true, hiddenWidth: nil, timeIDs: .aesthetic, absentNegative: .empty,
            zeroesEmptyNegativeInA1111: true),
        ConditioningRecipe(
            name: "sd3-clip", title: "Stable Diffusion 3, the CLIP part",
            encoders: [
                EncoderRecipe(
                    roles: [.clipL], layer: .penultimate, normalizesHidden: false, padding: .end,
                    pooled: .projected),
                EncoderRecipe(
                    roles: [.clipG], layer: .penultimate, normalizesHidden: false, padding: .id(0),
                    pooled: .projected),
            ],
            hasHiddenStates: true, hiddenWidth: 4096, timeIDs: nil, absentNegative: .empty,
            zeroesEmptyNegativeInA1111: false),
        ConditioningRecipe(
            name: "flux-clip", title: "FLUX.1, the CLIP part",
            encoders: [
                EncoderRecipe(
                    roles: [.clipL, .clip], layer: .last, normalizesHidden: true, padding: .end,
                    pooled: .normalized)
            ],
            hasHiddenStates: false, hiddenWidth: nil, timeIDs: nil, absentNegative: .empty,
            zeroesEmptyNegativeInA1111: false),
    ]

    /// The names in the table's order.
    public static var names: [String] { table.map(\.name) }

    /// The recipe of this name.
    public static func named(_ name: String) -> ConditioningRecipe? {
        table.first { $0.name == name }
    }
}

/// What image-conditioned samplers take, by the recipe's wire name.
public enum ImageRecipe: String, Sendable, CaseIterable {
    /// Stable unCLIP and image variations: the projected embedding.
    case unclip
    /// IP-Adapter: the projected embedding; zeros against it.
    case ipAdapter = "ip-adapter"
    /// IP-Adapter "plus" and its face models: the last block but one's states of all patches; against
    /// them those of an image whose preprocessed pixels are all 0 (diffusers,
    /// `pipeline_stable_diffusion.py`, `encode_image`).
    case ipAdapterPlus = "ip-adapter-plus"

    public var title: String {
        switch self {
        case .unclip: "Stable unCLIP and image variations"
        case .ipAdapter: "IP-Adapter"
        case .ipAdapterPlus: "IP-Adapter plus"
        }
    }

    /// Whether hidden states are wanted instead of the projected embedding.
    public var takesHiddenStates: Bool { self == .ipAdapterPlus }
}
