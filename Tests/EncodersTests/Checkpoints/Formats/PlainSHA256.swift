/// SHA-256 (FIPS 180-4), as the generators' `hashlib` gives it.
enum PlainSHA256 {
    /// The first bits of the fractional parts of a root of the first primes.
    private static func roots(_ count: Int, _ root: (Double) -> Double) -> [UInt32] {
        var primes: [Int] = []
        var candidate = 2
        while primes.count < count {
            if primes.allSatisfy({ !candidate.isMultiple(of: $0) }) { primes.append(candidate) }
            candidate += 1
        }
        return primes.map { prime in
            let value = root(Double(prime))
            return UInt32((value - value.rounded(.down)) * 0x1p32)
        }
    }

    private static let start = roots(8) { $0.squareRoot() }
    private static let constants = roots(64) { value in
        // Newton's last step, as a cube root by powers is not exact enough.
        var root = 1.0
        for _ in 0..<100 { root -= (root * root * root - value) / (3 * root * root) }
        return root
    }

    static func hexDigest(_ bytes: UnsafeRawBufferPointer) -> String {
        var message = [UInt8](bytes)
        let bits = UInt64(message.count) * 8
        message.append(0x80)
        while message.count % 64 != 56 { message.append(0) }
        for shift in stride(from: 56, through: 0, by: -8) {
            message.append(UInt8(truncatingIfNeeded: bits >> UInt64(shift)))
        }
        var state = start
        var words = [UInt32](repeating: 0, count: 64)
        message.withUnsafeBufferPointer { message in
            constants.withUnsafeBufferPointer { constants in
                for block in stride(from: 0, to: message.count, by: 64) {
                    absorb(message, block, &words, constants, &state)
                }
            }
        }
        return state.map { word in
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 8 - digits.count) + digits
        }.joined()
    }

    private static func absorb(
        _ message: UnsafeBufferPointer<UInt8>, _ block: Int, _ w: inout [UInt32],
        _ k: UnsafeBufferPointer<UInt32>, _ state: inout [UInt32]
    ) {
        func rotate(_ x: UInt32, _ n: UInt32) -> UInt32 { x >> n | x << (32 - n) }
        w.withUnsafeMutableBufferPointer { w in
            for t in 0..<16 {
                let place = block + 4 * t
                w[t] = UInt32(message[place]) << 24 | UInt32(message[place + 1]) << 16
                w[t] |= UInt32(message[place + 2]) << 8 | UInt32(message[place + 3])
            }
            for t in 16..<64 {
                let (x, y) = (w[t - 15], w[t - 2])
                let s0 = rotate(x, 7) ^ rotate(x, 18) ^ x >> 3
                let s1 = rotate(y, 17) ^ rotate(y, 19) ^ y >> 10
                w[t] = w[t - 16] &+ s0 &+ w[t - 7] &+ s1
            }
            var (a, b, c, d) = (state[0], state[1], state[2], state[3])
            var (e, f, g, h) = (state[4], state[5], state[6], state[7])
            for t in 0..<64 {
                let s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
                let t1 = h &+ s1 &+ ((e & f) ^ (~e & g)) &+ k[t] &+ w[t]
                let s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
                let t2 = s0 &+ ((a & b) ^ (a & c) ^ (b & c))
                (h, g, f, e, d, c, b, a) = (g, f, e, d &+ t1, c, b, a, t1 &+ t2)
            }
            for (index, value) in [a, b, c, d, e, f, g, h].enumerated() {
                state[index] = state[index] &+ value
            }
        }
    }
}
