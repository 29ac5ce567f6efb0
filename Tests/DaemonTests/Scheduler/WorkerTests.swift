import Daemon
import Encoders
import Serving
import Testing

@Suite struct WorkerTests {
    private func towers(_ names: [String]) throws -> [any ImageTower] {
        let registry = try ModelRegistry(
            sources: names.map {
                ModelRegistry.Source(
                    name: $0,
                    path: $0 == "default"
                        ? ModelRegistry.Source.embeddedPath : PipelineFixture.folder + "/sd1")
            })
        return try registry.models.map { try #require($0.imageTower?.model.image) }
    }

    /// An address may be another tower's later; what a tower's memory depends on is its sizes.
    @Test func memoryGoesWithTheSizesOfATowerAndNotWithItsAddress() throws {
        let worker = Worker(index: 0, team: ComputeTeam(places: 1), activationBudget: 1 << 30)
        var last: (any ImageWorkspace)?
        for _ in 0..<3 {
            let tower = try towers(["default"])[0]
            let workspace = worker.workspace(for: tower)
            #expect(last == nil || workspace === last)
            #expect(
                try tower.embed(
                    [Float](
                        repeating: 0.5,
                        count: 3 * tower.sizes.imageSize * tower.sizes.imageSize),
                    workspace: workspace
                ).allSatisfy(\.isFinite))
            last = workspace
        }
        let other = try towers(["default", "sd1"])[1]
        #expect(worker.workspace(for: other) !== last)
        #expect(worker.gradientWorkspace(for: other) !== worker.workspace(for: other))
    }
}
