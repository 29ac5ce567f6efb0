internal import CXXHash

/// XXH3-128 (xxHash's specification, `doc/xxhash_spec.md`), fed in pieces.
///
/// Here it names contents: equal digests of weights and configuration mean equal embeddings, also across
/// machines and restarts. It is no defence against somebody who makes two files of one digest.
package struct ContentDigest: ~Copyable {
    private let state: OpaquePointer

    package init() {
        // Fails only without memory for half a kilobyte.
        guard let state = XXH3_createState(), XXH3_128bits_reset(state) == XXH_OK else {
            preconditionFailure("no memory for a digest")
        }
        self.state = state
    }

    deinit { XXH3_freeState(state) }

    package borrowing func update(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress, !bytes.isEmpty else { return }
        XXH3_128bits_update(state, base, bytes.count)
    }

    package borrowing func update(_ text: String) {
        var text = text
        text.withUTF8 { update(UnsafeRawBufferPointer($0)) }
    }

    /// The digest of everything so far as 32 hexadecimal digits, in the canonical order of its bytes.
    package borrowing func hexDigest() -> String {
        let value = XXH3_128bits_digest(state)
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for word in [value.high64, value.low64] {
            for shift in stride(from: UInt64(60), through: 0, by: -4) {
                text.append(digits[Int(word >> shift & 15)])
            }
        }
        return String(decoding: text, as: UTF8.self)
    }

    package static func hexDigest(_ bytes: UnsafeRawBufferPointer) -> String {
        let digest = ContentDigest()
        digest.update(bytes)
        return digest.hexDigest()
    }
}
