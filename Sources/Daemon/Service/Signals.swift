import Glibc

/// The signals that end the daemon, taken one at a time by a thread that waits for them.
///
/// They are blocked in every thread, so that no library call is interrupted half-way and no code
/// runs in a signal handler.
enum Signals {
    /// Blocks SIGTERM, SIGINT and SIGHUP in this thread and all it starts, and ignores SIGPIPE.
    ///
    /// To be called before the first thread is made.
    static func block() {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&set, signal) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
    }

    /// Sleeps until one of the blocked signals comes, and returns it.
    static func next() -> Int32 {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in [SIGTERM, SIGINT, SIGHUP] { sigaddset(&set, signal) }
        var signal: Int32 = 0
        while sigwait(&set, &signal) != 0 {}
        return signal
    }
}
