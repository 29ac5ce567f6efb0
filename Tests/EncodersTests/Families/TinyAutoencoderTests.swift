import Encoders
import Testing

/// TAESD against diffusers' `AutoencoderTiny` (Tests/Generators/tiny_autoencoder.py), and bad files.
@Suite struct TinyAutoencoderTests {
    static let folder: String = {
        let parts = Fixture.models.split(separator: "/", omittingEmptySubsequences: false)
        return parts.dropLast().joined(separator: "/") + "/taesd"
    }()

    private static func expected(_ name: String) throws -> [Float] {
        let path = folder + "/expected.safetensors"
        let file = try SafetensorsFile(bytes: .map(path: path), path: path)
        return try file.floats(name, shape: #require(file.shape(of: name)))
    }

    private static func array(_ count: Int, _ body: (UnsafeMutableBufferPointer<Float>) -> Void)
        -> [Float]
    {
        [Float](unsafeUninitializedCapacity: count) { buffer, initialized in
            buffer.initialize(repeating: 0)
            body(UnsafeMutableBufferPointer(rebasing: buffer[..<count]))
            initialized = count
        }
    }

    @Test(arguments: ["", "/taesd_decoder.pth"], [Precision.f32, .bf16])
    func decoderAndItsGradientMatchDiffusers(file: String, precision: Precision) throws {
        let model = try TinyAutoencoder.load(path: Self.folder + file, precision: precision)
        let decoder = try #require(model.decoder)
        #expect(model.latentChannels == 4)
        let workspace = decoder.workspace(height: 5, width: 6, gradients: true)
        let latents = try Self.expected("latents")
        let team = ComputeTeam(places: 2)
        let seat = team.sit()
        defer { team.leave(seat) }
        let image = Self.array(3 * 40 * 48) { output in
            latents.withUnsafeBufferPointer {
                decoder.forward($0, into: output, workspace, seat: seat)
            }
        }
        let dImage = try Self.expected("d_image")
        let dLatents = Self.array(latents.count) { output in
            dImage.withUnsafeBufferPointer {
                decoder.pullback($0, into: output, workspace, seat: seat)
            }
        }
        let value = Agreement(image, try Self.expected("image"))
        let gradient = Agreement(dLatents, try Self.expected("d_latents"))
        if precision == .f32 {
            #expect(
                value.relativeMaximum < 2e-5 && gradient.relativeLength < 1e-3,
                "\(value), \(gradient)")
        } else {
            #expect(value.cosine > 0.9995 && gradient.cosine > 0.98, "\(value), \(gradient)")
        }
    }

    @Test(arguments: ["", "/taesd_encoder.pth"]) func encoderMatchesDiffusers(file: String) throws {
        let model = try TinyAutoencoder.load(path: Self.folder + file)
        let encoder = try #require(model.encoder)
        let workspace = encoder.workspace(height: 19, width: 26)
        let picture = try Self.expected("picture")
        let latents = Self.array(4 * 3 * 4) { output in
            picture.withUnsafeBufferPointer { encoder.forward($0, into: output, workspace) }
        }
        let agreement = Agreement(latents, try Self.expected("encoded"))
        #expect(agreement.relativeMaximum < 2e-5, "\(agreement)")
    }

    @Test func aWorkspaceForgetsTheFormerPicture() throws {
        let decoder = try #require(try TinyAutoencoder.load(path: Self.folder).decoder)
        let workspace = decoder.workspace(height: 5, width: 6, gradients: true)
        let latents = try Self.expected("latents")
        let other = latents.map { 3 - $0 }
        func decode(_ values: [Float]) -> [Float] {
            Self.array(3 * 40 * 48) { output in
                values.withUnsafeBufferPointer { decoder.forward($0, into: output, workspace) }
            }
        }
        let first = decode(latents)
        _ = decode(other)
        #expect(decode(latents) == first)
    }

    @Test func otherFilesAreNamed() throws {
        let model = Fixture.models + "/" + (try CheckpointFiles.directory(Fixture.models).names[0])
        #expect(throws: EncoderError.self) { try TinyAutoencoder.load(path: model) }
        #expect(throws: EncoderError.self) { try TinyAutoencoder.load(path: "/nowhere/taesd.pth") }
        #expect(throws: EncoderError.self) {
            try TinyAutoencoder.load(path: Self.folder, precision: .int8)
        }
        let path = Self.folder + "/expected.safetensors"
        let error = #expect(throws: EncoderError.self) { try TinyAutoencoder.load(path: path) }
        #expect("\(error.map { "\($0)" } ?? "")".contains("TAESD"))
    }
}
