import Synchronization

/// A map that is bounded by the memory and the number of its values: when it is full, the value that
/// was used longest ago goes. Safe to use from any thread.
///
/// A value that is gone is let go of at once, outside the lock: freeing one may take long.
package final class LeastRecentlyUsed<Key: Hashable & Sendable, Value: Sendable>: Sendable {
    /// What happened so far.
    package struct Statistics: Sendable, Equatable {
        package var hits = 0
        package var misses = 0
        package var evictions = 0
        package var entries = 0
        package var bytes = 0

        package init() {}
    }

    private struct Content {
        let key: Key
        let value: Value
        let bytes: Int
    }

    private struct Node {
        /// `nil` while the node is not in use.
        var content: Content?
        var newer: Int?
        var older: Int?
    }

    private struct State {
        var nodes: [Node] = []
        /// Numbers of nodes that are not in use.
        var free: [Int] = []
        var positions: [Key: Int] = [:]
        var newest: Int?
        var oldest: Int?
        var statistics = Statistics()

        mutating func unlink(_ index: Int) {
            let node = nodes[index]
            if let newer = node.newer {
                nodes[newer].older = node.older
            } else {
                newest = node.older
            }
            if let older = node.older {
                nodes[older].newer = node.newer
            } else {
                oldest = node.newer
            }
        }

        mutating func linkFirst(_ index: Int) {
            nodes[index].newer = nil
            nodes[index].older = newest
            if let newest { nodes[newest].newer = index } else { oldest = index }
            newest = index
        }

        /// Empties a node, and hands over what it held.
        mutating func remove(_ index: Int) -> Content? {
            guard let content = nodes[index].content.take() else { return nil }
            unlink(index)
            positions[content.key] = nil
            statistics.entries -= 1
            statistics.bytes -= content.bytes
            free.append(index)
            return content
        }
    }

    /// The bytes that all values together may have.
    package let limit: Int
    /// How many values there may be.
    package let countLimit: Int
    private let state = Mutex(State())

    package init(limit: Int, countLimit: Int = .max) {
        self.limit = limit
        self.countLimit = countLimit
    }

    package var statistics: Statistics { state.withLock { $0.statistics } }

    /// The value of a key, which is the newest from now on.
    package func value(_ key: Key) -> Value? {
        state.withLock { state in
            guard let index = state.positions[key] else {
                state.statistics.misses += 1
                return nil
            }
            state.statistics.hits += 1
            state.unlink(index)
            state.linkFirst(index)
            return state.nodes[index].content?.value
        }
    }

    /// Keeps a value, unless it is larger than everything together may be.
    ///
    /// - Parameter bytes: the memory of key and value.
    /// - Returns: whether it is kept.
    @discardableResult
    package func insert(_ value: Value, bytes: Int, for key: Key) -> Bool {
        guard bytes <= limit, countLimit > 0 else { return false }
        var dropped: [Content?] = []
        state.withLock { state in
            if let index = state.positions[key] { dropped.append(state.remove(index)) }
            while state.statistics.bytes + bytes > limit || state.statistics.entries >= countLimit,
                let oldest = state.oldest
            {
                dropped.append(state.remove(oldest))
                state.statistics.evictions += 1
            }
            let node = Node(content: Content(key: key, value: value, bytes: bytes))
            let index: Int
            if let reused = state.free.popLast() {
                index = reused
                state.nodes[index] = node
            } else {
                index = state.nodes.count
                state.nodes.append(node)
            }
            state.positions[key] = index
            state.linkFirst(index)
            state.statistics.entries += 1
            state.statistics.bytes += bytes
        }
        _ = consume dropped
        return true
    }

    /// Forgets the value of a key.
    ///
    /// - Returns: it, if there was one.
    @discardableResult
    package func remove(_ key: Key) -> Value? {
        state.withLock { state in
            state.positions[key].flatMap { state.remove($0) }
        }?.value
    }

    /// Forgets every value whose key meets a condition.
    package func removeAll(where isGone: (Key) -> Bool) {
        let dropped = state.withLock { state in
            state.positions.filter { isGone($0.key) }.map { state.remove($0.value) }
        }
        _ = consume dropped
    }
}
