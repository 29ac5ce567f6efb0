import Glibc

/// TAESD: a tiny autoencoder between latents and pictures eight times as high and wide.
///
/// Reads TAESD, TAESDXL (4 channels), TAESD3 and TAEF1 (16 channels) as their author publishes them
/// (`taesd_decoder.pth`, `.safetensors`) and as diffusers' `AutoencoderTiny` stores them. Latents are in
/// the scale that a UNet sees (diffusers' `scaling_factor` of these models is 1). Either half may be
/// missing. Immutable; workspaces belong to whoever computes.
public final class TinyAutoencoder: Sendable {
    public let path: String
    /// Channels of a latent: 4 or 16 in what is published.
    public let latentChannels: Int
    /// `nil` when the file has none.
    public let decoder: Decoder?
    /// `nil` when the file has none.
    public let encoder: Encoder?

    init(path: String, latentChannels: Int, decoder: Decoder?, encoder: Encoder?) {
        self.path = path
        self.latentChannels = latentChannels
        self.decoder = decoder
        self.encoder = encoder
    }

    /// Pixels a latent's side becomes.
    public static let factor = 8

    /// Memory that the weights take.
    public var bytes: Int { (decoder?.stack.bytes ?? 0) + (encoder?.stack.bytes ?? 0) }

    /// Latents to pictures, and back with gradients.
    public struct Decoder: Sendable {
        let stack: ResidualStack
        public let latentChannels: Int
        let element: Element
        /// Whether ``pullback(_:_:seat:)`` may be called.
        public let hasGradients: Bool

        /// Multiply-adds of decoding latents of this size; of the gradient as many again.
        public func multiplyAdds(height: Int, width: Int) -> Int {
            stack.multiplyAdds(height: height, width: width)
        }

        /// Memory to decode latents of one size.
        public func workspace(height: Int, width: Int, gradients: Bool) -> Workspace {
            precondition(!gradients || hasGradients, "a decoder without gradients")
            return Workspace(
                ResidualStack.Workspace(
                    stack, height: height, width: width, element: element, gradients: gradients),
                inputs: latentChannels * height * width)
        }

        /// The picture of a latent: `latents` [channels, height, width] to `image` [3, 8·height,
        /// 8·width], about 0…1 and not clamped.
        public func forward(
            _ latents: UnsafeBufferPointer<Float>, into image: UnsafeMutableBufferPointer<Float>,
            _ workspace: Workspace, seat: ComputeSeat = .alone
        ) {
            precondition(latents.count == workspace.inputs.count, "latents of another size")
            for index in latents.indices {
                workspace.inputs[index] = 3 * tanhf(latents[index] / 3)
            }
            stack.forward(workspace.stack, seat: seat) { plane in
                workspace.inputs.withUnsafeBufferPointer { plane.copy(fromPlanar: $0) }
            } read: {
                $0.copy(toPlanar: image, planes: 3)
            }
        }

        /// `dLatents` [channels, height, width] from `dImage`, the gradient at the picture that the last
        /// ``forward(_:into:_:seat:)`` in this workspace made. Reads what it left there.
        public func pullback(
            _ dImage: UnsafeBufferPointer<Float>,
            into dLatents: UnsafeMutableBufferPointer<Float>, _ workspace: Workspace,
            seat: ComputeSeat = .alone
        ) {
            precondition(dLatents.count == workspace.inputs.count, "latents of another size")
            stack.backward(workspace.stack, seat: seat) {
                $0.copy(fromPlanar: dImage)
            } read: {
                $0.copy(toPlanar: dLatents, planes: latentChannels)
            }
            // d 3·tanh(x/3) = 1 − tanh²(x/3)
            for index in dLatents.indices {
                let bounded = workspace.inputs[index] / 3
                dLatents[index] *= 1 - bounded * bounded
            }
        }
    }

    /// Pictures to latents.
    public struct Encoder: Sendable {
        let stack: ResidualStack
        public let latentChannels: Int
        let element: Element

        /// Memory to encode pictures of one size.
        public func workspace(height: Int, width: Int) -> Workspace {
            Workspace(
                ResidualStack.Workspace(
                    stack, height: height, width: width, element: element, gradients: false),
                inputs: 0)
        }

        /// The latents of a picture: `image` [3, height, width] in 0…1 to `latents` [channels,
        /// ⌈height / 8⌉, ⌈width / 8⌉].
        public func forward(
            _ image: UnsafeBufferPointer<Float>, into latents: UnsafeMutableBufferPointer<Float>,
            _ workspace: Workspace, seat: ComputeSeat = .alone
        ) {
            stack.forward(workspace.stack, seat: seat) {
                $0.copy(fromPlanar: image)
            } read: {
                $0.copy(toPlanar: latents, planes: latentChannels)
            }
        }
    }

    /// Memory of one thread for pictures of one size.
    public final class Workspace {
        let stack: ResidualStack.Workspace
        /// Latents as the convolutions saw them, bounded to ±3.
        var inputs: [Float]

        init(_ stack: ResidualStack.Workspace, inputs: Int) {
            self.stack = stack
            self.inputs = [Float](repeating: 0, count: inputs)
        }

        public var bytes: Int { stack.bytes + inputs.count * 4 }
    }
}
