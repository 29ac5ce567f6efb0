import Glibc
package import IPC
package import JSON
import System

/// A running daemon.
package final class RemoteSession: Session {
    private let client: Client
    /// How long one request may take, in milliseconds.
    private let timeout: Int
    package let batchSize: Int
    /// Nanoseconds of the first request's time that went into connecting.
    private var spent: UInt64

    /// A daemon answers `status` on its socket thread, however much it has to compute.
    private static let greetingTimeout = 5000
    /// How much earlier than the time is up a daemon gives a request up, at most, in milliseconds,
    /// so that its reply says so in time.
    private static let margin = 200

    /// Connects and makes sure that somebody is there.
    ///
    /// - Parameter timeoutMilliseconds: for each request; connecting counts as part of the first.
    /// - Throws: `NoDaemon`, `ClientError`.
    package init(endpoint: String, timeoutMilliseconds: Int) throws {
        do throws(TransportError) {
            client = try Client(endpoint: endpoint)
        } catch {
            guard case .endpoint(_, let reason) = error else { throw error }
            throw NoDaemon(endpoint: endpoint, reason: reason)
        }
        timeout = timeoutMilliseconds
        let start = monotonicNow()
        let patience = min(RemoteSession.greetingTimeout, timeoutMilliseconds)
        do throws(ClientError) {
            let status = try client.call(op: "status", timeoutMilliseconds: patience)
            batchSize = RemoteSession.batchSize(threads: status.result["threads"]?.intValue ?? 1)
        } catch {
            guard case .timeout = error else { throw error }
            throw NoDaemon(
                endpoint: endpoint,
                reason: patience % 1000 == 0
                    ? "no answer within \(patience / 1000) s"
                    : "no answer within \(patience) ms")
        }
        spent = monotonicNow() - start
    }

    /// Waits and tries again, within the time that a request may take, when the daemon is
    /// overloaded.
    package func call(
        op: String, model: String?, params: JSONObject, inputs: [Input]
    ) throws -> Reply {
        try ArgumentText.check(params)
        let whole = UInt64(timeout) * 1_000_000
        let end = monotonicNow() + (whole - min(spent, whole))
        spent = 0
        while true {
            let now = monotonicNow()
            let left = max(Int((end - min(now, end)) / 1_000_000), 1)
            do throws(ClientError) {
                return try client.call(
                    op: op, model: model, params: params, inputs: inputs,
                    deadlineMilliseconds: max(left - min(left / 10, RemoteSession.margin), 1),
                    timeoutMilliseconds: left)
            } catch {
                if case .timeout = error {
                    throw ClientError.timeout(
                        op: op, endpoint: client.endpoint, milliseconds: timeout)
                }
                guard case .refused(let fault) = error else { throw error }
                let pause = max(fault.retryAfterMilliseconds ?? 100, 10)
                guard fault.code == .overloaded, pause < left else { throw fault }
                sleep(milliseconds: pause)
            }
        }
    }

    private func sleep(milliseconds: Int) {
        let time = timespec(
            tv_sec: milliseconds / 1000, tv_nsec: milliseconds % 1000 * 1_000_000)
        // A signal may cut it short; then the daemon is asked a little early, which does no harm.
        _ = withUnsafePointer(to: time) { nanosleep($0, nil) }
    }
}
