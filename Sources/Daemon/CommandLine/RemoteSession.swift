import Glibc
package import IPC
package import JSON

/// A running daemon.
package final class RemoteSession: Session {
    private let client: Client
    /// How long one request may take, in milliseconds.
    private let timeout: Int
    package let batchSize: Int

    /// A daemon answers `status` on its socket thread, however much it has to compute.
    private static let greetingTimeout = 5000
    /// The reply to a request that ran into its deadline comes within this time, in milliseconds.
    private static let grace = 2000

    /// Connects and makes sure that somebody is there.
    ///
    /// - Throws: `NoDaemon`, `ClientError`.
    package init(endpoint: String, timeoutMilliseconds: Int) throws {
        do throws(TransportError) {
            client = try Client(endpoint: endpoint)
        } catch {
            guard case .endpoint(_, let reason) = error else { throw error }
            throw NoDaemon(endpoint: endpoint, reason: reason)
        }
        timeout = timeoutMilliseconds
        do throws(ClientError) {
            let status = try client.call(
                op: "status", timeoutMilliseconds: RemoteSession.greetingTimeout)
            batchSize = RemoteSession.batchSize(threads: status.result["threads"]?.intValue ?? 1)
        } catch {
            guard case .timeout = error else { throw error }
            throw NoDaemon(
                endpoint: endpoint,
                reason: "no answer within \(RemoteSession.greetingTimeout / 1000) s")
        }
    }

    /// Waits and tries again, within the time that a request may take, when the daemon is
    /// overloaded.
    package func call(
        op: String, model: String?, params: JSONObject, inputs: [Input]
    ) throws -> Reply {
        let end = monotonicNow() + UInt64(timeout) * 1_000_000
        while true {
            let now = monotonicNow()
            let left = max(Int((end - min(now, end)) / 1_000_000), 1)
            do throws(ClientError) {
                return try client.call(
                    op: op, model: model, params: params, inputs: inputs,
                    deadlineMilliseconds: left, timeoutMilliseconds: left + RemoteSession.grace)
            } catch {
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
