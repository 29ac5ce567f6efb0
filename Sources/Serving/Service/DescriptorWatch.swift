package import IPC

/// What the log says of connections that are refused: once when that begins, again while it goes on,
/// and when it is over.
package struct DescriptorWatch {
    /// Between two lines, in nanoseconds.
    package static let interval: UInt64 = 30_000_000_000

    package enum Event: Equatable {
        /// So many since the last line.
        case refused(Int)
        case acceptsAgain
    }

    private var reported: Int
    private var isRefusing = false
    private var nextLine: UInt64 = 0

    package init(_ state: Descriptors.State) { reported = state.refusedConnections }

    package mutating func note(_ state: Descriptors.State, now: UInt64) -> Event? {
        let new = state.refusedConnections - reported
        if new > 0, now >= nextLine {
            reported = state.refusedConnections
            isRefusing = true
            nextLine = now + DescriptorWatch.interval
            return .refused(new)
        }
        guard isRefusing, new == 0, state.isAccepting else { return nil }
        isRefusing = false
        nextLine = 0
        return .acceptsAgain
    }
}
