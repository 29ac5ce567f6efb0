package import Encoders

/// What items must have in common to go through a tower together.
package struct GroupKey: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        case images
        case imageStates
        case gradients
        case texts
        /// Rows of a recipe's encoder, and which layer's states are wanted.
        case rows(recipe: String, encoder: Int, state: Int)
    }

    /// Held, so that no later object can have its address while the key is in use.
    private let tower: any AnyObject & Sendable
    private let kind: Kind

    package init(_ tower: any AnyObject & Sendable, _ kind: Kind) {
        self.tower = tower
        self.kind = kind
    }

    package static func == (left: GroupKey, right: GroupKey) -> Bool {
        left.tower === right.tower && left.kind == right.kind
    }

    package func hash(into hasher: inout Hasher) {
        hasher.combine(ObjectIdentifier(tower))
        hasher.combine(kind)
    }
}

/// A tower's work on items of one request, which may share a group with those of others.
package protocol GroupWork: Sendable {
    var key: GroupKey { get }
    /// Items that are worth taking together.
    var groupSize: Int { get }

    /// Memory that an item takes while its group is run, beside the worker's own.
    func bytes(_ item: Int) -> Int

    /// Runs items of several works with this one's key as one group.
    func run(_ parts: [GroupPart], _ worker: Worker)
}

/// Items of one work on their way through a tower.
package struct GroupPart: Sendable {
    package let work: any GroupWork
    package let items: Range<Int>
}

/// What a tower does with items: each is taken from its request, goes through the tower with others,
/// and is handed back. What an item comes to does not depend on its group.
package struct TowerWork<Input: Sendable, Value: Sendable>: GroupWork {
    package let key: GroupKey
    package let groupSize: Int
    private let take: @Sendable (_ item: Int) -> Input?
    private let give: @Sendable (_ item: Int, Result<Value, EncoderError>) -> Void
    private let itemBytes: @Sendable (_ item: Int) -> Int
    private let compute:
        @Sendable (_ inputs: [Input], Worker) throws(EncoderError) -> [Result<Value, EncoderError>]

    /// - Parameters:
    ///   - take: hands over an item's input; `nil` for one that failed before, which the request knows.
    ///   - give: takes an item's result.
    ///   - itemBytes: see `bytes`.
    ///   - compute: runs the tower; the same for all works of a key.
    package init(
        key: GroupKey, groupSize: Int, take: @escaping @Sendable (_ item: Int) -> Input?,
        give: @escaping @Sendable (_ item: Int, Result<Value, EncoderError>) -> Void,
        itemBytes: @escaping @Sendable (_ item: Int) -> Int = { _ in 0 },
        compute:
            @escaping @Sendable (_ inputs: [Input], Worker) throws(EncoderError) -> [Result<
                Value, EncoderError
            >]
    ) {
        self.key = key
        self.groupSize = max(groupSize, 1)
        self.take = take
        self.give = give
        self.itemBytes = itemBytes
        self.compute = compute
    }

    package func bytes(_ item: Int) -> Int { itemBytes(item) }

    package func run(_ parts: [GroupPart], _ worker: Worker) {
        var places: [(work: TowerWork, item: Int)] = []
        var inputs: [Input] = []
        for part in parts {
            guard let work = part.work as? TowerWork else {
                preconditionFailure("works of one key are of one type")
            }
            for item in part.items {
                guard let input = work.take(item) else { continue }
                inputs.append(input)
                places.append((work, item))
            }
        }
        if inputs.isEmpty { return }
        let results = Result { () throws(EncoderError) in try compute(inputs, worker) }
        switch results {
        case .success(let values):
            for (place, value) in zip(places, values) { place.work.give(place.item, value) }
        case .failure(let error):
            for (place, input) in zip(places, inputs) {
                // What is wrong with one request's item must not fail another's.
                let alone: Result<Value, EncoderError> =
                    parts.count == 1
                    ? .failure(error)
                    : Result { () throws(EncoderError) in
                        try compute([input], worker)
                    }.flatMap { $0.first ?? .failure(error) }
                place.work.give(place.item, alone)
            }
        }
    }
}
