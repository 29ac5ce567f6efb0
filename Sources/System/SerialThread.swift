/// A thread that does pieces of work one after the other, for as long as the process lives.
package final class SerialThread: Sendable {
    private let pending: Monitor<[@Sendable () -> Void]>

    /// - Parameter name: at most 15 bytes.
    package init(name: String) {
        let pending = Monitor<[@Sendable () -> Void]>([])
        self.pending = pending
        _ = SystemThread(name: name) {
            while true {
                let work = pending.wait { pending in
                    if pending.isEmpty { return nil as [@Sendable () -> Void]? }
                    defer { pending = [] }
                    return pending
                }
                for piece in work { piece() }
            }
        }
    }

    /// Leaves a piece of work; from any thread, without blocking.
    package func run(_ piece: @escaping @Sendable () -> Void) {
        pending.update { $0.append(piece) }
    }
}
