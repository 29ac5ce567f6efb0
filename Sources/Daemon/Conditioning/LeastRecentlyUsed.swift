import Synchronization

/// A map that is bounded by the memory of its values: when it is full, the value that was used longest
/// ago goes. Safe to use from any thread.
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

    private struct Node {
        var key: Key
        var value: Value
        var bytes: Int
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

        mutating func remove(_ index: Int) {
            unlink(index)
            positions[nodes[index].key] = nil
            statistics.entries -= 1
            statistics.bytes -= nodes[index].bytes
            free.append(index)
        }
    }

    /// The bytes that all values together may have.
    package let limit: Int
    private let state = Mutex(State())

    package init(limit: Int) { self.limit = limit }

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
            return state.nodes[index].value
        }
    }

    /// Keeps a value, unless it is larger than everything together may be.
    ///
    /// - Parameter bytes: the memory of key and value.
    package func insert(_ value: Value, bytes: Int, for key: Key) {
        guard bytes <= limit else { return }
        // Values are let go of outside the lock: freeing one may take long.
        var dropped: [Value] = []
        state.withLock { state in
            if let index = state.positions[key] {
                dropped.append(state.nodes[index].value)
                state.remove(index)
            }
            while state.statistics.bytes + bytes > limit, let oldest = state.oldest {
                dropped.append(state.nodes[oldest].value)
                state.remove(oldest)
                state.statistics.evictions += 1
            }
            let node = Node(key: key, value: value, bytes: bytes)
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
        _ = dropped
    }

    /// Forgets every value whose key meets a condition.
    package func removeAll(where isGone: (Key) -> Bool) {
        state.withLock { state in
            for (key, index) in state.positions where isGone(key) { state.remove(index) }
        }
    }
}
