import CAcceptGuard
import Glibc

/// The descriptors of this process: each connection takes one, and whoever takes the last leaves none to
/// open a file with.
public enum Descriptors {
    public struct State: Equatable, Sendable {
        /// How many the process may have.
        public let limit: Int
        /// Of those, how many connections leave alone.
        public let reserved: Int
        /// Connections that were refused because no others were left.
        public let refusedConnections: Int
        /// Whether the last connection that came was accepted.
        public let isAccepting: Bool

        public init(limit: Int, reserved: Int, refusedConnections: Int, isAccepting: Bool) {
            self.limit = limit
            self.reserved = reserved
            self.refusedConnections = refusedConnections
            self.isAccepting = isAccepting
        }
    }

    /// A process with more connections than this has other worries.
    private static let most = 1 << 20

    /// Asks the system for as many descriptors as this user may have, and keeps some of them from
    /// connections from now on.
    public static func prepare() {
        var limits = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits) == 0 else { return }
        let wanted = min(limits.rlim_max, rlim_t(most))
        if limits.rlim_cur < wanted {
            limits.rlim_cur = wanted
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
        }
        let limit = self.limit
        gd_accept_guard(Int32(clamping: limit - reserved(of: limit)))
    }

    public static var state: State {
        let limit = self.limit
        return State(
            limit: limit, reserved: reserved(of: limit),
            refusedConnections: Int(clamping: gd_accept_refused()),
            isAccepting: gd_accept_is_open() != 0)
    }

    /// Enough for files of models and adapters, and for what the system's libraries open.
    private static func reserved(of limit: Int) -> Int { min(64, limit / 4) }

    private static var limit: Int {
        var limits = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits) == 0 else { return 0 }
        return Int(clamping: limits.rlim_cur)
    }
}
