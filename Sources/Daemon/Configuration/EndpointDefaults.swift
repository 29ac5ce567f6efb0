import Glibc

/// Where the daemon listens when nobody says otherwise.
package struct EndpointDefaults: Equatable, Sendable {
    /// The socket's folder belongs to the user, or its name carries the user's id.
    package let endpoint: String

    /// - Parameters:
    ///   - runtimeDirectory: `$XDG_RUNTIME_DIR`; unset, empty or relative, as its specification
    ///     has it, counts as none.
    ///   - userID: of the user that runs the daemon.
    package init(runtimeDirectory: String?, userID: UInt32) {
        if var folder = runtimeDirectory, folder.hasPrefix("/") {
            while folder.count > 1, folder.hasSuffix("/") { folder.removeLast() }
            endpoint = "ipc://\(folder == "/" ? "" : folder)/guidanced.sock"
        } else {
            endpoint = "ipc:///tmp/guidanced-\(userID).sock"
        }
    }

    /// Those of this process.
    package static var current: EndpointDefaults {
        EndpointDefaults(
            runtimeDirectory: Environment.text("XDG_RUNTIME_DIR"),
            userID: geteuid())
    }

    /// The control endpoint that goes with some endpoints: `.control` beside the first socket
    /// file, or beside the default one where all are TCP.
    package func control(for endpoints: [String]) -> String {
        (endpoints.first { $0.hasPrefix("ipc://") } ?? endpoint) + ".control"
    }
}
