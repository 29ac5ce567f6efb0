import Glibc

/// Whether the system has memory for something large.
///
/// An array that cannot be had ends the process. So whoever is about to make large ones asks first,
/// for all that is on its way together: a limit of address space (`ulimit -v`) or more than the machine
/// has is then an error of one request.
package enum MemoryRoom {
    /// What is smaller is not asked for.
    package static let large = 16 << 20

    /// Takes so much memory, untouched, and gives it back.
    package static func has(_ bytes: Int) -> Bool {
        guard bytes >= large else { return true }
        guard
            let start = mmap(
                nil, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            start != MAP_FAILED
        else { return false }
        munmap(start, bytes)
        return true
    }
}
