import Encoders
import Testing

/// Aesthetic heads in their published layouts against torch (Tests/Generators/aesthetic_heads.py).
@Suite struct AestheticHeadTests {
    private static let folder: String = {
        let parts = Fixture.models.split(separator: "/", omittingEmptySubsequences: false)
        return parts.dropLast().joined(separator: "/") + "/heads"
    }()

    private static func expected(_ name: String) throws -> [Float] {
        let path = folder + "/expected.safetensors"
        let file = try SafetensorsFile(bytes: .map(path: path), path: path)
        return try file.floats(name, shape: #require(file.shape(of: name)))
    }

    @Test(arguments: [
        ("sa_0_4_vit_b_32_linear", AestheticHead.Layout.v1),
        ("sac+logos+ava1-l14-linearMSE", .v2), ("ava+logos-l14-reluMSE", .v2Rectified),
        ("aesthetic_predictor_v2_5", .v25),
    ])
    func scoreAndGradientMatchTorch(name: String, layout: AestheticHead.Layout) throws {
        let head = try AestheticHead.load(path: Self.folder + "/\(name).pth")
        #expect(head.layout == layout && head.width == 24)
        let embedding = try Self.expected("embedding")
        let score = try Self.expected(name + ".score")[0]
        #expect(abs(head.score(embedding) - score) < 1e-4 * max(1, abs(score)))
        let gradient = Agreement(
            head.gradient(at: embedding), try Self.expected(name + ".gradient"))
        #expect(gradient.relativeMaximum < 1e-5, "\(gradient)")
    }

    @Test(arguments: ["sac+logos+ava1-l14-linearMSE", "ava+logos-l14-reluMSE"])
    func gradientIsTheSlopeOfTheScore(name: String) throws {
        let head = try AestheticHead.load(path: Self.folder + "/\(name).pth")
        let embedding = try Self.expected("embedding")
        let gradient = head.gradient(at: embedding)
        for index in [0, 7, 23] {
            var (above, below) = (embedding, embedding)
            above[index] += 1e-3
            below[index] -= 1e-3
            let slope = (head.score(above) - head.score(below)) / 2e-3
            #expect(abs(slope - gradient[index]) < 2e-2 * max(1, abs(slope)))
        }
    }

    @Test func otherFilesAreNamed() throws {
        let error = #expect(throws: EncoderError.self) {
            try AestheticHead.load(path: Self.folder + "/expected.safetensors")
        }
        #expect("\(error.map { "\($0)" } ?? "")".contains("aesthetic head"))
        #expect(throws: EncoderError.self) { try AestheticHead.load(path: Self.folder) }
    }
}
