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
        /// Items that are worth taking together.
        package let groupSize: Int
        /// Memory that an item takes while it is worked on.
        private let bytes: (@Sendable (_ item: Int) -> Int)?
        package let run: @Sendable (_ items: Range<Int>, _ worker: Worker) -> Void

        /// Items that are taken one at a time.
        package init(
            itemCount: Int, bytes: (@Sendable (_ item: Int) -> Int)? = nil,
            run: @escaping @Sendable (_ item: Int, _ worker: Worker) -> Void
        ) {
            self.init(itemCount: itemCount, groupSize: 1, bytes: bytes) { items, worker in
                for item in items { run(item, worker) }
            }
        }

        /// Items of which a thread takes up to `groupSize` neighbours, and fewer when that keeps more
        /// threads busy. What an item comes to must not depend on its group.
        ///
        /// - Parameter bytes: memory that an item takes while its group is worked on; without it, none
        ///   that is worth counting.
        package init(
            itemCount: Int, groupSize: Int, bytes: (@Sendable (_ item: Int) -> Int)? = nil,
            run: @escaping @Sendable (_ items: Range<Int>, _ worker: Worker) -> Void
        ) {
            self.itemCount = itemCount
            self.groupSize = max(groupSize, 1)
            self.bytes = bytes
            self.run = run
        }

        /// How many of the items that are left the next of `threads` threads takes, and what memory
        /// they need: no more than `budget`, unless one alone does.
        package func share(
            of left: Range<Int>, threads: Int, budget: Int
        ) -> (count: Int, bytes: Int) {
            let most = min(groupSize, (left.count + threads - 1) / max(threads, 1))
            guard let bytes, most > 0 else { return (most, 0) }
            var count = 1
            var sum = bytes(left.lowerBound)
            while count < most, sum + bytes(left.lowerBound + count) <= budget {
                sum += bytes(left.lowerBound + count)
                count += 1
            }
            return (count, sum)
        }
    }

    package let stages: [Stage]
    /// What the reply's outputs take, where that is more than the request's headers told.
    package let replyBytes: Int?
    /// Whether the stages write into the reply's own memory, so that the last step needs no more.
    package let isReplyThere: Bool
    /// Runs once, after the last stage, on a compute thread.
    package let finish: @Sendable () throws(WireFault) -> Outcome

    package init(
        stages: [Stage] = [], replyBytes: Int? = nil, isReplyThere: Bool = false,
        finish: @escaping @Sendable () throws(WireFault) -> Outcome
    ) {
        self.stages = stages
        self.replyBytes = replyBytes
        self.isReplyThere = isReplyThere
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
