/// What the latents of a family of samplers are: how many channels, how a sampler's latents differ from
/// its VAE's, and which colours they roughly stand for.
///
/// Constants as ComfyUI's `comfy/latent_formats.py` has them; scales and shifts also stand in the
/// families' own VAE configurations.
public struct LatentFormat: Sendable, Equatable {
    /// Name on the wire: `sd1 sdxl sd3 flux`.
    public let name: String
    /// model = (vae − shift) · scale
    public let scale: Float
    public let shift: Float
    /// [channels][3]: red, green and blue in −1…1 of a latent in the model's space.
    let colours: [[Float]]
    let colourBias: [Float]

    public var channels: Int { colours.count }

    /// In which numbers latents come.
    public enum Space: String, Sendable, CaseIterable {
        /// As a UNet or transformer sees them, and as ComfyUI's and diffusers' samplers hold them.
        case model
        /// As the VAE's encoder gives and its decoder takes them.
        case vae
    }

    /// Every format by name.
    public static let all: [LatentFormat] = [sd1, sdxl, sd3, flux]

    public static func named(_ name: String) -> LatentFormat? { all.first { $0.name == name } }

    public static let sd1 = LatentFormat(
        name: "sd1", scale: 0.18215, shift: 0,
        colours: [
            [0.3512, 0.2297, 0.3227], [0.3250, 0.4974, 0.2350], [-0.2829, 0.1762, 0.2721],
            [-0.2120, -0.2616, -0.7177],
        ], colourBias: [0, 0, 0])

    public static let sdxl = LatentFormat(
        name: "sdxl", scale: 0.13025, shift: 0,
        colours: [
            [0.3651, 0.4232, 0.4341], [-0.2533, -0.0042, 0.1068], [0.1076, 0.1111, -0.0362],
            [-0.3165, -0.2492, -0.2188],
        ], colourBias: [0.1084, -0.0175, -0.0011])

    public static let sd3 = LatentFormat(
        name: "sd3", scale: 1.5305, shift: 0.0609,
        colours: [
            [-0.0922, -0.0175, 0.0749], [0.0311, 0.0633, 0.0954], [0.1994, 0.0927, 0.0458],
            [0.0856, 0.0339, 0.0902], [0.0587, 0.0272, -0.0496], [-0.0006, 0.1104, 0.0309],
            [0.0978, 0.0306, 0.0427], [-0.0042, 0.1038, 0.1358], [-0.0194, 0.0020, 0.0669],
            [-0.0488, 0.0130, -0.0268], [0.0922, 0.0988, 0.0951], [-0.0278, 0.0524, -0.0542],
            [0.0332, 0.0456, 0.0895], [-0.0069, -0.0030, -0.0810], [-0.0596, -0.0465, -0.0293],
            [-0.1448, -0.1463, -0.1189],
        ], colourBias: [0.2394, 0.2135, 0.1925])

    public static let flux = LatentFormat(
        name: "flux", scale: 0.3611, shift: 0.1159,
        colours: [
            [-0.0346, 0.0244, 0.0681], [0.0034, 0.0210, 0.0687], [0.0275, -0.0668, -0.0433],
            [-0.0174, 0.0160, 0.0617], [0.0859, 0.0721, 0.0329], [0.0004, 0.0383, 0.0115],
            [0.0405, 0.0861, 0.0915], [-0.0236, -0.0185, -0.0259], [-0.0245, 0.0250, 0.1180],
            [0.1008, 0.0755, -0.0421], [-0.0515, 0.0201, 0.0011], [0.0428, -0.0012, -0.0036],
            [0.0817, 0.0765, 0.0749], [-0.1264, -0.0522, -0.1103], [-0.0280, -0.0881, -0.0499],
            [-0.1262, -0.0982, -0.0778],
        ], colourBias: [-0.0329, -0.0718, -0.0851])
}
