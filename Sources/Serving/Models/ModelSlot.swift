import Synchronization

/// The place of one model in one precision, where its towers arrive one after the other.
package final class ModelSlot: Sendable {
    private struct State {
        var model: LoadedModel
        /// What requests may use.
        var open: TowerKinds = []
    }

    private let state: Mutex<State>

    /// - Parameter model: identified, without towers.
    init(_ model: LoadedModel) { state = Mutex(State(model: model)) }

    /// The model with the towers that have been made.
    package var model: LoadedModel { state.withLock { $0.model } }

    /// The sides that requests are served with.
    package var open: TowerKinds { state.withLock { $0.open } }

    /// Whether every side that the model has serves requests.
    package var isComplete: Bool { state.withLock { $0.open.isSuperset(of: $0.model.kinds) } }

    /// Whether a request need not wait: what it needs is there, or the model will never have it.
    package func serves(_ needs: TowerKinds) -> Bool {
        state.withLock { $0.open.isSuperset(of: needs.intersection($0.model.kinds)) }
    }

    func take(_ model: LoadedModel) { state.withLock { $0.model = model } }

    func open(_ kind: TowerKinds) { state.withLock { _ = $0.open.insert(kind) } }
}
