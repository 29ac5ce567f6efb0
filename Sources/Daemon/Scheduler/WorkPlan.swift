package import IPC
package import JSON

/// What one request comes to: stages of independent items, then one step that puts the reply
/// together.
///
/// Stages run in order; the items of a stage run in any order on any compute thread, each writing
/// only its own slot, so that a result does not depend on how the work was spread.
package struct WorkPlan: Sendable {
    package struct Stage: Sendable {
        package let itemCount: Int
        package let run: @Sendable (_ item: Int, _ worker: Worker) -> Void

        package init(
            itemCount: Int, run: @escaping @Sendable (_ item: Int, _ worker: Worker) -> Void
        ) {
            self.itemCount = itemCount
            self.run = run
        }
    }

    package let stages: [Stage]
    /// Runs once, after the last stage, on a compute thread.
    package let finish: @Sendable () throws(WireFault) -> Outcome

    package init(
        stages: [Stage] = [], finish: @escaping @Sendable () throws(WireFault) -> Outcome
    ) {
        self.stages = stages
        self.finish = finish
    }
}

/// The content of a successful reply.
package struct Outcome: Sendable {
    package var model: LoadedModel?
    package var result = JSONObject()
    package var outputs: [Output] = []
    /// Items that failed alone; all others have their results.
    package var items: [ItemFault] = []
    package var warnings: [String] = []

    package init(
        model: LoadedModel? = nil, result: JSONObject = JSONObject(), outputs: [Output] = [],
        items: [ItemFault] = [], warnings: [String] = []
    ) {
        self.model = model
        self.result = result
        self.outputs = outputs
        self.items = items
        self.warnings = warnings
    }
}

/// One place an item, written by whichever thread runs that item and read after the stage.
package final class Slots<Value: Sendable>: @unchecked Sendable {
    // Invariant: during a stage an index is touched by one thread only; the scheduler's lock
    // orders those writes before every read of a later stage.
    private let storage: UnsafeMutableBufferPointer<Value?>

    package init(count: Int) {
        storage = .allocate(capacity: count)
        storage.initialize(repeating: nil)
    }

    deinit {
        storage.deinitialize()
        storage.deallocate()
    }

    package var count: Int { storage.count }

    package subscript(index: Int) -> Value? {
        get { storage[index] }
        set { storage[index] = newValue }
    }

    /// The values in item order.
    package var all: [Value?] { Array(storage) }
}
