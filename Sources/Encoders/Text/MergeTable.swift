/// Merges of a byte-pair vocabulary by the pair that they join: rank and resulting token.
///
/// A hash table with open addressing: looking up pairs is the inner loop of encoding.
struct MergeTable: Sendable {
    struct Merge {
        let rank: UInt32
        let token: Int32
    }

    /// The rank of pairs that do not merge.
    static let none = UInt32.max

    private var keys: [UInt64]
    private var values: [Merge]
    private let mask: Int

    /// - Parameter capacity: how many merges will be inserted at most.
    init(capacity: Int) {
        var size = 16
        while size < capacity * 2 { size *= 2 }
        keys = Array(repeating: .max, count: size)
        values = Array(repeating: Merge(rank: Self.none, token: 0), count: size)
        mask = size - 1
    }

    private func slot(_ key: UInt64) -> Int {
        var hash = key &* 0x9e37_79b9_7f4a_7c15
        hash ^= hash >> 32
        var index = Int(truncatingIfNeeded: hash) & mask
        while keys[index] != key, keys[index] != .max { index = (index + 1) & mask }
        return index
    }

    private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
        UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
    }

    /// A later merge of the same pair takes the place of an earlier one, as in both libraries.
    mutating func insert(_ left: Int32, _ right: Int32, _ merge: Merge) {
        let key = Self.key(left, right)
        let index = slot(key)
        keys[index] = key
        values[index] = merge
    }

    subscript(left: Int32, right: Int32) -> Merge {
        // An empty slot still has the rank `none`.
        values[slot(Self.key(left, right))]
    }
}
