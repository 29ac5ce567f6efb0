import Daemon
import Serving
import Synchronization
import Testing

@Suite("A bounded map")
struct LeastRecentlyUsedTests {
    @Test("drops what was used longest ago, and counts")
    func order() {
        let map = LeastRecentlyUsed<Int, String>(limit: 30)
        for key in 1...3 { map.insert("\(key)", bytes: 10, for: key) }
        #expect(map.value(1) == "1")
        map.insert("4", bytes: 10, for: 4)
        #expect(map.value(2) == nil && map.value(1) == "1" && map.value(3) == "3")
        map.insert("5", bytes: 25, for: 5)
        #expect(map.value(5) == "5" && map.value(1) == nil)
        var expected = LeastRecentlyUsed<Int, String>.Statistics()
        (expected.hits, expected.misses, expected.evictions) = (4, 2, 4)
        (expected.entries, expected.bytes) = (1, 25)
        #expect(map.statistics == expected)
    }

    @Test("keeps nothing larger than its limit, and replaces values of a key")
    func limits() {
        let map = LeastRecentlyUsed<String, Int>(limit: 10)
        map.insert(1, bytes: 11, for: "a")
        #expect(map.value("a") == nil)
        map.insert(2, bytes: 10, for: "a")
        map.insert(3, bytes: 4, for: "a")
        #expect(map.value("a") == 3)
        #expect(map.statistics.entries == 1 && map.statistics.bytes == 4)
        map.removeAll { $0 == "a" }
        #expect(map.value("a") == nil && map.statistics.bytes == 0)
        let none = LeastRecentlyUsed<String, Int>(limit: 0)
        none.insert(1, bytes: 1, for: "a")
        #expect(none.value("a") == nil)
    }

    /// Counts itself while it lives.
    private final class Witness: Sendable {
        static let living = Atomic(0)
        init() { Witness.living.add(1, ordering: .relaxed) }
        deinit { Witness.living.subtract(1, ordering: .relaxed) }
    }

    @Test("lets go of what is evicted, replaced, removed or forgotten, at once")
    func memory() {
        let map = LeastRecentlyUsed<Int, Witness>(limit: 30)
        func living() -> Int { Witness.living.load(ordering: .relaxed) }
        for key in 1...100 {
            map.insert(Witness(), bytes: 10, for: key)
            #expect(living() == min(key, 3))
        }
        map.insert(Witness(), bytes: 10, for: 100)
        #expect(living() == 3)
        #expect(map.remove(100) != nil && map.remove(100) == nil)
        #expect(living() == 2)
        map.removeAll { $0 == 99 }
        #expect(living() == 1)
        map.removeAll { _ in true }
        #expect(living() == 0)
    }

    @Test("is bounded in number too")
    func count() {
        let map = LeastRecentlyUsed<Int, Int>(limit: .max, countLimit: 2)
        for key in 1...3 { map.insert(key, bytes: 1, for: key) }
        #expect(map.value(1) == nil && map.value(2) == 2 && map.value(3) == 3)
        #expect(map.statistics.entries == 2 && map.statistics.evictions == 1)
    }

    /// Against the obvious implementation, with many random steps.
    @Test("agrees with a list", arguments: 1...20)
    func random(_ seed: UInt64) {
        var state = seed
        func next(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return Int(state >> 33) % bound
        }
        let map = LeastRecentlyUsed<Int, Int>(limit: 50)
        var list: [(key: Int, value: Int, bytes: Int)] = []
        for step in 0..<2000 {
            let key = next(12)
            if next(2) == 0 {
                let found = list.firstIndex { $0.key == key }
                #expect(map.value(key) == found.map { list[$0].value }, "seed \(seed)")
                if let found { list.append(list.remove(at: found)) }
            } else {
                let bytes = 1 + next(20)
                map.insert(step, bytes: bytes, for: key)
                list.removeAll { $0.key == key }
                while list.reduce(0, { $0 + $1.bytes }) + bytes > 50 { list.removeFirst() }
                list.append((key, step, bytes))
            }
            #expect(map.statistics.entries == list.count)
            #expect(map.statistics.bytes == list.reduce(0) { $0 + $1.bytes })
        }
    }
}
