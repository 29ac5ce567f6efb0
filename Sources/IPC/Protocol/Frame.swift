import Glibc

/// Memory behind a frame: one block that neither moves nor changes while the object lives.
package protocol FrameMemory: AnyObject, Sendable {
    var bytes: UnsafeRawBufferPointer { get }
}

/// The bytes of one message frame, shared and never copied: copies of a `Frame` refer to the same
/// memory, which is an array's or, for a received frame, the transport's own message.
///
/// The bytes have no particular alignment: read elements with `loadUnaligned`, or through
/// `TensorEncoding`.
public struct Frame: Sendable {
    package let memory: any FrameMemory

    package init(memory: any FrameMemory) {
        self.memory = memory
    }

    public init(_ bytes: [UInt8]) { memory = ArrayMemory(bytes) }
    public init(_ elements: [UInt16]) { memory = ArrayMemory(elements) }
    public init(_ elements: [Float]) { memory = ArrayMemory(elements) }
    public init(_ elements: [Int32]) { memory = ArrayMemory(elements) }
    public init(_ elements: [Int64]) { memory = ArrayMemory(elements) }

    /// How many bytes the frame holds.
    public var count: Int { memory.bytes.count }

    /// Lends the bytes; the pointer is valid until `body` returns.
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        defer { withExtendedLifetime(memory) {} }
        return try body(memory.bytes)
    }

    /// A copy of the bytes.
    public var array: [UInt8] { withUnsafeBytes { [UInt8]($0) } }
}

extension Frame: Equatable {
    /// Frames are equal when their bytes are.
    public static func == (left: Frame, right: Frame) -> Bool {
        left.memory === right.memory
            || left.withUnsafeBytes { first in
                right.withUnsafeBytes { second in
                    guard let start = first.baseAddress, let other = second.baseAddress else {
                        return first.count == second.count
                    }
                    return first.count == second.count && memcmp(start, other, first.count) == 0
                }
            }
    }
}

/// An array as the memory of a frame.
private final class ArrayMemory<Element: BitwiseCopyable & Sendable>: FrameMemory,
    @unchecked Sendable
{
    // Invariant: `bytes` is the array's only buffer. It is immutable, contiguous and at one
    // address for as long as `elements` is held, and `elements` is a constant of this object.
    private let elements: [Element]
    let bytes: UnsafeRawBufferPointer

    init(_ elements: [Element]) {
        self.elements = elements
        bytes = elements.withUnsafeBytes { $0 }
    }
}
