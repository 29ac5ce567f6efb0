package import Encoders
import Guidance

/// One compute thread's own memory: workspaces for the towers it ran, kept from request to request.
package final class Worker {
    package let index: Int
    let team: ComputeTeam
    private let activationBudget: Int
    private var seat = ComputeSeat.alone
    /// Receives the time of each stage of whatever runs on this thread, when set.
    package var meter: StageMeter?
    /// One a kind of tower, not one a tower: models, and towers with other weights merged in, come and
    /// go, and a later one may get the address that an earlier one had.
    private var images: [WorkspaceKind: any ImageWorkspace] = [:]
    private var gradients: [WorkspaceKind: any ImageWorkspace] = [:]
    private var text: [WorkspaceKind: any TowerWorkspace] = [:]
    private var resizing: [ResizeKey: ResampleMap] = [:]

    private struct ResizeKey: Hashable {
        let preprocessing: ImagePreprocessing
        let height: Int
        let width: Int
    }

    /// A sampler sends one size again and again; a few more are kept for mixed clients.
    private static let keptSizes = 8
    /// Kinds of towers whose memory is kept, of each side.
    private static let keptKinds = 8

    /// - Parameter activationBudget: bytes that this thread's kept activations may take.
    package init(index: Int, team: ComputeTeam, activationBudget: Int) {
        self.index = index
        self.team = team
        self.activationBudget = activationBudget
    }

    /// Runs `body` while this thread counts as busy, so that free helpers join in.
    func whileSeated(_ body: () -> Void) {
        seat = team.sit()
        body()
        team.leave(seat)
        seat = .alone
    }

    /// Memory for groups of up to the tower's preferred size.
    package func workspace(for tower: any ImageTower) -> any ImageWorkspace {
        let workspace = Self.find(tower.workspaceKind, in: &images) {
            tower.makeWorkspace(capacity: tower.preferredGroup, slots: team.places)
        }
        workspace.seat = seat
        workspace.meter = meter
        return workspace
    }

    /// Memory for gradients of groups as large as ``GradientMemory`` says.
    package func gradientWorkspace(for tower: any ImageTower) -> any ImageWorkspace {
        let workspace = Self.find(tower.workspaceKind, in: &gradients) {
            tower.makeWorkspace(
                capacity: GradientMemory.group(
                    tower, slots: team.places, budget: activationBudget),
                slots: team.places, activationBudget: activationBudget)
        }
        workspace.seat = seat
        workspace.meter = meter
        return workspace
    }

    /// Memory for groups of up to the tower's preferred size.
    package func workspace(for tower: any TextTower) -> any TowerWorkspace {
        let workspace = Self.find(tower.workspaceKind, in: &text) {
            tower.makeWorkspace(capacity: tower.preferredGroup, slots: team.places)
        }
        workspace.seat = seat
        workspace.meter = meter
        return workspace
    }

    private static func find<Key, Workspace>(
        _ key: Key, in kept: inout [Key: Workspace], _ make: () -> Workspace
    ) -> Workspace {
        if let workspace = kept[key] { return workspace }
        // Textual inversions make configurations of their own: those of old sets are let go.
        if kept.count >= Worker.keptKinds { kept.removeAll() }
        let workspace = make()
        kept[key] = workspace
        return workspace
    }

    /// Memory of all workspaces.
    package var workspaceBytes: Int {
        images.values.reduce(0) { $0 + $1.bytes } + gradients.values.reduce(0) { $0 + $1.bytes }
            + text.values.reduce(0) { $0 + $1.bytes }
    }

    /// The differentiable map from an H × W image to the tower's input.
    func preprocessing(
        for side: ImageSide, height: Int, width: Int
    ) throws(EncoderError) -> ResampleMap {
        let key = ResizeKey(
            preprocessing: side.preprocessing, height: height, width: width)
        if let map = resizing[key] { return map }
        let map = try ResampleMap(
            side.preprocessing, height: height, width: width)
        if resizing.count >= Worker.keptSizes { resizing.removeAll() }
        resizing[key] = map
        return map
    }
}

/// How a thread's budget for kept activations is spent.
package enum GradientMemory {
    /// Images whose gradients are computed together: as many as the tower prefers and the budget
    /// keeps the activations of, but at least one.
    static func group(_ tower: any ImageTower, slots: Int, budget: Int) -> Int {
        (1...tower.preferredGroup).last {
            tower.gradientBytes(capacity: $0, slots: slots, recomputes: false) <= budget
        } ?? 1
    }

    /// - Throws: `ConfigurationError` when a budget is not enough for one image a thread.
    package static func check(
        _ model: CLIPModel, name: String, threads: Int, budget: Int
    ) throws(ConfigurationError) {
        // One image a thread, everything recomputed that can be.
        guard
            let one = model.gradientBytes(capacity: 1, slots: threads, recomputes: true)
        else { return }
        let least = threads * one
        guard budget >= least else {
            throw ConfigurationError(
                .flags, "activation-bytes",
                expected: "at least \(least) bytes for gradients of \"\(name)\" on \(threads) "
                    + "threads",
                actual: "\(budget)")
        }
    }
}
