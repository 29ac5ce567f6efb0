import Glibc

/// The signals that end the daemon, taken one at a time by a thread that waits for them.
///
/// A handler passes the number on through a pipe. (Blocking the signals and waiting for them would
/// not do: OpenBLAS starts threads when it is loaded, before any mask of ours, and the kernel may
/// give a signal to one of those.)
enum Signals {
    /// The pipe's ends; written once, in `install`, before the first handler can run.
    private nonisolated(unsafe) static var readEnd: Int32 = -1
    private nonisolated(unsafe) static var writeEnd: Int32 = -1

    /// Takes over SIGTERM, SIGINT and SIGHUP, and ignores SIGPIPE. To be called once.
    static func install() {
        var ends: [Int32] = [-1, -1]
        precondition(pipe(&ends) == 0, "the system refused a pipe at start-up: error \(errno)")
        readEnd = ends[0]
        writeEnd = ends[1]
        for number in [SIGTERM, SIGINT, SIGHUP] {
            signal(number) { number in
                // `write` and `errno` are all that a handler may touch here.
                let saved = errno
                var byte = UInt8(truncatingIfNeeded: number)
                _ = write(Signals.writeEnd, &byte, 1)
                errno = saved
            }
        }
        signal(SIGPIPE, SIG_IGN)
    }

    /// Sleeps until one of them comes, and returns it.
    static func next() -> Int32 {
        var byte: UInt8 = 0
        while read(readEnd, &byte, 1) != 1 {}
        return Int32(byte)
    }
}
