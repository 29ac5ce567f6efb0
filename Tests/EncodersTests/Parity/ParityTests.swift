import Encoders
import Glibc
import Testing

@Suite struct ParityTests {
    @Test(arguments: CheckpointLoadingTests.fixtures)
    func agreesWithTheReference(_ name: String) throws {
        try ParityChecks(folder: Fixture.models + "/" + name).run()
    }

    #if PackedKernels
        @Test(arguments: CheckpointLoadingTests.fixtures, [Precision.bf16, .int8])
        func agreesInLowerPrecision(_ name: String, _ precision: Precision) throws {
            try ParityChecks(folder: Fixture.models + "/" + name, precision: precision).run()
        }
    #endif
}

/// Folders that Tests/Generators/full_size.py wrote, named by the environment.
private enum FullSize {
    static let folder = getenv("GUIDANCED_PARITY_DIR").map { String(cString: $0) }

    static let models: [String] = {
        guard let folder, let names = try? CheckpointFiles.directory(folder).names else {
            return []
        }
        return names.filter { access(folder + "/" + $0 + "/expected.safetensors", R_OK) == 0 }
    }()
}

/// Parity with checkpoints as large as the ones people use.
@Suite(
    .enabled(
        if: FullSize.folder != nil,
        "set GUIDANCED_PARITY_DIR to a folder that Tests/Generators/full_size.py wrote"))
struct FullSizeParityTests {
    @Test func findsModels() {
        #expect(!FullSize.models.isEmpty, "nothing to compare in \(FullSize.folder ?? "")")
    }

    #if PackedKernels
        static let precisions: [Precision] = [.f32, .bf16]
    #else
        static let precisions: [Precision] = [.f32]
    #endif

    @Test(arguments: FullSize.models, precisions)
    func agreesWithTheReference(_ name: String, _ precision: Precision) throws {
        let folder = try #require(FullSize.folder) + "/" + name
        let clock = ContinuousClock()
        var checks: ParityChecks?
        let loading = try clock.measure {
            checks = try ParityChecks(folder: folder, precision: precision)
        }
        print("parity \(name) \(precision.rawValue): loaded in \(loading)")
        try #require(checks).run()
    }
}
