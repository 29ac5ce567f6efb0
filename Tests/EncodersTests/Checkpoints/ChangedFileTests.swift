import Encoders
import Glibc
import Testing

/// A checkpoint's file that is written to while it is open.
@Suite struct ChangedFileTests {
    private static let model = FormatFixture.path("../adapters/base")

    /// A copy of a small text tower, and a builder that has digested it.
    private func opened(
        _ folder: TemporaryDirectory
    ) throws -> (builder: CLIPModelBuilder, file: String) {
        for name in ["config.json", "model.safetensors"] {
            try folder.write(name, try Fixture.read(Self.model + "/" + name))
        }
        let tower = try CheckpointContents.tower(at: folder.path)
        let builder = try CLIPModelBuilder(tower, path: folder.path, variants: [ComputeOptions()])
        return (builder, folder.path + "/model.safetensors")
    }

    /// Changes the file in place: no new one is made of this name.
    private func overwrite(_ file: String, at offset: Int, _ bytes: [UInt8]) throws {
        let descriptor = open(file, O_WRONLY)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        #expect(pwrite(descriptor, bytes, bytes.count, offset) == bytes.count)
    }

    @Test func otherWeightsAreNotServedUnderAFingerprint() throws {
        let folder = try TemporaryDirectory()
        let (builder, file) = try opened(folder)
        let before = try #require(try builder.source.textWeights())
        let length = try Fixture.read(file).count
        // Of some tensor in the middle: a number that is a number still.
        try overwrite(file, at: length / 2 & ~3, [0, 0, 0x80, 0x3e])
        let error = #expect(throws: EncoderError.self) { try builder.source.textWeights() }
        guard case .file = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(error?.description.contains("was changed") == true)
        // The towers come later than the fingerprint: the same holds for them.
        var made = 0
        #expect(throws: EncoderError.self) {
            try builder.addText(to: builder.identified) { _, _ in made += 1 }
        }
        #expect(made == 0)
        // The old bytes again: nothing is the matter.
        try overwrite(
            file, at: length / 2 & ~3,
            Array(
                try Fixture.read(Self.model + "/model.safetensors")[(length / 2 & ~3)...].prefix(4))
        )
        #expect(try builder.source.textWeights() == before)
    }

    @Test(arguments: [0, 100, 40_000])
    func aFileThatIsCutShortIsAnError(_ count: Int) throws {
        let folder = try TemporaryDirectory()
        let (builder, file) = try opened(folder)
        #expect(truncate(file, count) == 0)
        let error = #expect(throws: EncoderError.self) { try builder.source.textWeights() }
        #expect(error?.description.contains("shortened") == true)
        #expect(throws: EncoderError.self) {
            try builder.addText(to: builder.identified) { _, _ in }
        }
    }

    /// A new file of the same name is another file: the one that is open stays what it was.
    @Test func aFileThatIsReplacedIsReadOnAsItWas() throws {
        let folder = try TemporaryDirectory()
        let (builder, file) = try opened(folder)
        let before = try #require(try builder.source.textWeights())
        unlink(file)
        try folder.write("model.safetensors", [1, 2, 3])
        #expect(try builder.source.textWeights() == before)
    }
}
