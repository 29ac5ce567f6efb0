import Encoders
import Glibc
import Testing

@Suite struct ParityTests {
    @Test(arguments: CheckpointLoadingTests.fixtures)
    func agreesWithTheReference(_ name: String) throws {
        try ParityChecks(folder: Fixture.models + "/" + name).run()
    }
}

/// Parity at full size: folders that Tests/Generators/full_size.py wrote, named by the environment.
@Suite(
    .enabled(
        if: FullSizeParityTests.folder != nil,
        "set GUIDANCED_PARITY_DIR to a folder that Tests/Generators/full_size.py wrote"))
struct FullSizeParityTests {
    static let folder = getenv("GUIDANCED_PARITY_DIR").map { String(cString: $0) }

    static let models: [String] = {
        guard let folder, let names = try? CheckpointFiles.directory(folder).names else { return [] }
        return names.filter { access(folder + "/" + $0 + "/expected.safetensors", R_OK) == 0 }
    }()

    @Test func findsModels() {
        #expect(!Self.models.isEmpty, "nothing to compare in \(Self.folder ?? "")")
    }

    @Test(arguments: models)
    func agreesWithTheReference(_ name: String) throws {
        let folder = try #require(Self.folder) + "/" + name
        let clock = ContinuousClock()
        var checks: ParityChecks?
        let loading = try clock.measure { checks = try ParityChecks(folder: folder) }
        print("parity \(name): loaded in \(loading)")
        try #require(checks).run()
    }
}
