package import IPC
package import JSON

/// What one request comes to: stages of independent items, then one step that puts the reply
/// together, or goes on with what the stages found out.
///
/// Stages run in order; the items of a stage run in any order on any compute thread, each writing
/// only its own slot, so that a result does not depend on how the work was spread.
package struct WorkPlan: Sendable {
    package struct Stage: Sendable {
        /// A tower's work on some of the stage's items.
        struct TowerItems: Sendable {
            let work: any GroupWork
            /// The stage's items, and which of the work's items the first of them is.
            let items: Range<Int>
            let first: Int

            /// The work's items for the stage's.
            func part(_ items: Range<Int>) -> GroupPart {
                let shift = first - self.items.lowerBound
                return GroupPart(
                    work: work, items: items.lowerBound + shift..<items.upperBound + shift)
            }
        }

        enum Content: Sendable {
            /// Items of which a thread takes up to `groupSize` neighbours.
            case items(
                groupSize: Int, bytes: (@Sendable (Int) -> Int)?,
                run: @Sendable (Range<Int>, Worker) -> Void)
            /// Items that go through towers, possibly with those of other requests.
            case towers([TowerItems])
        }

        package let itemCount: Int
        let content: Content

        /// Items that are taken one at a time.
        ///
        /// - Parameter bytes: memory that an item takes while it is worked on; without it, none that is
        ///   worth counting.
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
        package init(
            itemCount: Int, groupSize: Int, bytes: (@Sendable (_ item: Int) -> Int)? = nil,
            run: @escaping @Sendable (_ items: Range<Int>, _ worker: Worker) -> Void
        ) {
            self.itemCount = itemCount
            content = .items(groupSize: max(groupSize, 1), bytes: bytes, run: run)
        }

        /// Items of towers' works, one work after the other.
        package init(_ works: [(work: any GroupWork, items: Range<Int>)]) {
            var towers: [TowerItems] = []
            var count = 0
            for (work, items) in works where !items.isEmpty {
                towers.append(
                    TowerItems(
                        work: work, items: count..<count + items.count, first: items.lowerBound))
                count += items.count
            }
            itemCount = count
            content = .towers(towers)
        }

        /// Who works on an item, and on how many from there on.
        func tower(of item: Int) -> TowerItems? {
            guard case .towers(let towers) = content else { return nil }
            return towers.first { $0.items.contains(item) }
        }

        /// How many of the items that are left a thread takes, and what memory they need: no more than
        /// `budget`, unless one alone does and `needsOne`.
        ///
        /// - Parameter most: the most that the thread wants.
        package func share(
            of left: Range<Int>, most: Int, budget: Int, needsOne: Bool = true
        ) -> (count: Int, bytes: Int) {
            let size: (Int) -> Int
            var most = min(most, left.count)
            switch content {
            case .items(let groupSize, let bytes, _):
                most = min(most, groupSize)
                guard let bytes else { return (most, 0) }
                size = bytes
            case .towers:
                guard let tower = tower(of: left.lowerBound) else { return (0, 0) }
                most = min(most, tower.work.groupSize, tower.items.upperBound - left.lowerBound)
                let shift = tower.first - tower.items.lowerBound
                size = { tower.work.bytes($0 + shift) }
            }
            var count = 0
            var sum = 0
            while count < most {
                let next = size(left.lowerBound + count)
                if sum + next > budget, count > 0 || !needsOne { break }
                sum += next
                count += 1
            }
            return (count, sum)
        }
    }

    package enum End: Sendable {
        /// Puts the reply together.
        case reply(@Sendable () throws(WireFault) -> Outcome)
        /// What the stages found out decides how to go on.
        case more(@Sendable () throws(WireFault) -> WorkPlan)
    }

    package let stages: [Stage]
    /// What the reply's outputs take, where that is more than the request's headers told.
    package let replyBytes: Int?
    /// Whether the stages write into the reply's own memory, so that the last step needs no more.
    package let isReplyThere: Bool
    /// Runs once, after the last stage, on a compute thread.
    package let end: End

    package init(
        stages: [Stage] = [], replyBytes: Int? = nil, isReplyThere: Bool = false,
        finish: @escaping @Sendable () throws(WireFault) -> Outcome
    ) {
        self.stages = stages
        self.replyBytes = replyBytes
        self.isReplyThere = isReplyThere
        end = .reply(finish)
    }

    /// A plan whose stages decide how it goes on.
    static func beginning(
        with stages: [Stage], then next: @escaping @Sendable () throws(WireFault) -> WorkPlan
    ) -> WorkPlan {
        WorkPlan(stages: stages, end: .more(next))
    }

    private init(stages: [Stage], end: End) {
        self.stages = stages
        self.end = end
        replyBytes = nil
        isReplyThere = false
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
