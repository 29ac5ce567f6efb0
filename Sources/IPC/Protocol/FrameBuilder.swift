import Glibc

/// Memory for one large output, filled piece by piece and sent as it is.
///
/// It is asked of the system at once, and where there is none that is an answer, not the end of the
/// process, as it would be with an array.
package final class FrameBuilder: FrameMemory, @unchecked Sendable {
    // Invariant: writers have ranges of their own, and a frame is made when they are done; the
    // memory is anonymous, belongs to this object alone, and lives until deinit.
    private let start: UnsafeMutableRawPointer
    package let count: Int

    /// - Parameter count: bytes, at least one; all 0 to begin with.
    /// - Returns: `nil` when the system has no such memory.
    package init?(count: Int) {
        guard count > 0,
            let start = mmap(
                nil, count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            start != MAP_FAILED
        else { return nil }
        self.start = start
        self.count = count
    }

    deinit { munmap(start, count) }

    package var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }

    /// Copies bytes to a place that nobody else writes to.
    package func write(_ source: UnsafeRawBufferPointer, at offset: Int) {
        precondition(
            offset >= 0 && offset + source.count <= count, "a piece lies within its tensor")
        guard let address = source.baseAddress else { return }
        memcpy(start + offset, address, source.count)
    }

    /// Everything that was written; to be called when nothing more will be.
    package var frame: Frame { Frame(memory: self) }
}
