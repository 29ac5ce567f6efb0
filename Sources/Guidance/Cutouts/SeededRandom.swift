import Glibc

/// Numbers from a seed alone: SplitMix64 (Steele, Lea and Flood 2014), the same on every machine.
public struct SeededRandom: RandomNumberGenerator, Sendable {
    private var state: UInt64

    public init(_ seed: UInt64) { state = seed }

    /// A stream of its own for each of several numbers, such as a step, an item and a cutout.
    public init(_ seed: UInt64, _ numbers: Int...) {
        var mixed = SeededRandom(seed)
        var state = mixed.next()
        for number in numbers {
            mixed = SeededRandom(state ^ UInt64(bitPattern: Int64(number)))
            state = mixed.next()
        }
        self.state = state
    }

    public mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }

    /// At least 0 and below 1, of 53 bits.
    public mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

    /// At least `low` and below `high`.
    public mutating func uniform(_ low: Double, _ high: Double) -> Double {
        low + (high - low) * uniform()
    }

    /// One of 0…`last`.
    public mutating func integer(through last: Int) -> Int {
        min(Int(uniform() * Double(last + 1)), last)
    }

    /// With a mean of 0 and a deviation of 1 (Box and Muller 1958).
    public mutating func normal() -> Double {
        let radius = (-2 * log(1 - uniform())).squareRoot()
        return radius * cos(2 * Double.pi * uniform())
    }
}
