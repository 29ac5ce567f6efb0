import CKernels
import Encoders
import Testing

@Suite struct SHA256Tests {
    /// NIST's examples (FIPS 180-4's companion "SHA256.pdf", and the CAVP short messages).
    @Test(arguments: [
        ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmno"
                + "pqrlmnopqrsmnopqrstnopqrstu",
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
        ),
    ])
    func givesNISTsDigests(_ text: String, _ expected: String) {
        var digest = SHA256()
        digest.update(text)
        #expect(digest.hexDigest() == expected)
    }

    @Test func digestsAMillionLetters() {
        let bytes = [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000)
        let digest = bytes.withUnsafeBytes { SHA256.hexDigest($0) }
        #expect(digest == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    @Test func doesNotDependOnHowTheBytesArrive() {
        var generator = SeededGenerator(seed: 4)
        let bytes = (0..<1_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
        let whole = bytes.withUnsafeBytes { SHA256.hexDigest($0) }
        for _ in 0..<50 {
            var digest = SHA256()
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = min(Int.random(in: 0...130, using: &generator), rest.count)
                Array(rest.prefix(count)).withUnsafeBytes { digest.update($0) }
                rest = rest.dropFirst(count)
            }
            #expect(digest.hexDigest() == whole)
        }
    }

    @Test func theProcessorsInstructionsAgreeWithThePlainLoop() {
        var generator = SeededGenerator(seed: 5)
        for blocks in [1, 2, 7, 64] {
            let bytes = (0..<64 * blocks).map { _ in UInt8.random(in: 0...255, using: &generator) }
            var fast = (0..<8).map { _ in UInt32.random(in: 0...UInt32.max, using: &generator) }
            var plain = fast
            guidanced_sha256_blocks(&fast, bytes, blocks)
            guidanced_sha256_blocks_portable(&plain, bytes, blocks)
            #expect(fast == plain)
        }
    }
}
