import Encoders
import Glibc

/// The variables of this process.
package enum Environment {
    /// A variable's text; bytes that are no UTF-8 as `PathText` writes them.
    package static func text(_ name: String) -> String? {
        getenv(name).map { value in
            PathText.text(
                UnsafeBufferPointer(start: value, count: strlen(value)).map(UInt8.init(bitPattern:))
            )
        }
    }
}
