import Encoders
import Testing

@Suite struct ContentDigestTests {
    /// From the Python package xxhash (`xxhash.xxh3_128`).
    @Test(arguments: [
        ("", "99aa06d3014798d86001c324468d497f"), ("abc", "06b05ab6733a618578af5f94892f3950"),
    ])
    func givesTheReferencesDigests(_ text: String, _ expected: String) {
        let digest = ContentDigest()
        digest.update(text)
        #expect(digest.hexDigest() == expected)
    }

    @Test func doesNotDependOnHowTheBytesArrive() {
        var generator = SeededGenerator(seed: 4)
        let bytes = (0..<5_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let whole = bytes.withUnsafeBytes { ContentDigest.hexDigest($0) }
        #expect(whole.utf8.count == 32)
        for _ in 0..<50 {
            let digest = ContentDigest()
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = min(Int.random(in: 0...600, using: &generator), rest.count)
                Array(rest.prefix(count)).withUnsafeBytes { digest.update($0) }
                rest = rest.dropFirst(count)
            }
            #expect(digest.hexDigest() == whole)
        }
        var other = bytes
        other[4_321] ^= 1
        #expect(other.withUnsafeBytes { ContentDigest.hexDigest($0) } != whole)
    }
}
