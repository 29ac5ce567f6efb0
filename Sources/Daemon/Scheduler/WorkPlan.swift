import IPC
import JSON

/// What one request comes to: stages of independent items, then one step that puts the reply
/// together.
///
/// Stages run in order; the items of a stage run in any order on any compute thread, each writing
/// only its own slot, so that a result does not depend on how the work was spread.
struct WorkPlan: Sendable {
    struct Stage: Sendable {
        let itemCount: Int
        let run: @Sendable (_ item: Int, _ worker: Worker) -> Void
    }

    let stages: [Stage]
    /// Runs once, after the last stage, on a compute thread.
    let finish: @Sendable () throws(WireFault) -> Outcome

    init(
        stages: [Stage] = [], finish: @escaping @Sendable () throws(WireFault) -> Outcome
    ) {
        self.stages = stages
        self.finish = finish
    }
}

/// The content of a successful reply.
struct Outcome: Sendable {
    var model: LoadedModel?
    var result = JSONObject()
    var outputs: [Output] = []
    /// Items that failed alone; all others have their results.
    var items: [ItemFault] = []
    var warnings: [String] = []
}

/// One place an item, written by whichever thread runs that item and read after the stage.
final class Slots<Value: Sendable>: @unchecked Sendable {
    // Invariant: during a stage an index is touched by one thread only; the scheduler's lock
    // orders those writes before every read of a later stage.
    private let storage: UnsafeMutableBufferPointer<Value?>

    init(count: Int) {
        storage = .allocate(capacity: count)
        storage.initialize(repeating: nil)
    }

    deinit {
        storage.deinitialize()
        storage.deallocate()
    }

    var count: Int { storage.count }

    subscript(index: Int) -> Value? {
        get { storage[index] }
        set { storage[index] = newValue }
    }

    /// The values in item order.
    var all: [Value?] { Array(storage) }
}
