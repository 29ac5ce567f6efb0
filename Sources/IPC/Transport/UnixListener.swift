import CZeroMQ
import Glibc
import System

/// A listening UNIX-domain socket that only the daemon's own user may connect to.
///
/// The messaging library would bind the path itself, but removes whatever is there first, even a
/// running daemon's socket, and leaves the file's permissions to the process-wide umask.
struct UnixListener {
    /// Owned by the messaging library once it has adopted it.
    let descriptor: Int32
    let path: String
    private let identity: FileIdentity

    private struct FileIdentity: Equatable {
        let device: UInt
        let inode: UInt
    }

    /// Binds and listens. A socket file that nobody listens on, left by a daemon that died, is
    /// replaced.
    ///
    /// - Throws: `TransportError.endpoint` when a daemon listens there already, something other
    ///   than a socket has the name, or the folder does not permit it.
    static func bind(path: String) throws(TransportError) -> UnixListener {
        let endpoint = "ipc://" + path
        let socket = try makeSocket(endpoint)
        var isAdopted = false
        defer { if !isAdopted { close(socket) } }
        // The file takes the socket's mode, so it is never open to others, not even briefly.
        guard fchmod(socket, 0o600) == 0 else { throw .system(call: "fchmod", reason: reason()) }
        // Two daemons that start at once must not remove each other's file.
        let folder = try lockFolder(of: path, endpoint)
        defer { close(folder) }
        if connect(socket, to: path, by: Glibc.bind) != 0 {
            guard errno == EADDRINUSE else { throw .endpoint(endpoint, reason: reason()) }
            try removeStale(path, endpoint)
            guard connect(socket, to: path, by: Glibc.bind) == 0 else {
                throw .endpoint(endpoint, reason: reason())
            }
        }
        guard listen(socket, 1024) == 0, let identity = identity(of: path) else {
            throw .endpoint(endpoint, reason: reason())
        }
        isAdopted = true
        return UnixListener(descriptor: socket, path: path, identity: identity)
    }

    /// Removes the file, unless another daemon has put its own there.
    func removeFile() {
        if UnixListener.identity(of: path) == identity { unlink(path) }
    }

    /// Closes the socket and removes the file; for a listener that was not adopted.
    func discard() {
        close(descriptor)
        removeFile()
    }

    /// Why nobody can be reached at a path; `nil` when someone listens there.
    static func unreachableReason(path: String) -> String? {
        guard let socket = try? makeSocket("ipc://" + path) else { return nil }
        defer { close(socket) }
        if connect(socket, to: path, by: Glibc.connect) == 0 || errno == EAGAIN { return nil }
        switch errno {
        case ENOENT: return "no such file; is the daemon running?"
        case ECONNREFUSED: return "nobody listens there; is the daemon running?"
        default: return reason()
        }
    }

    private static func removeStale(_ path: String, _ endpoint: String) throws(TransportError) {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return }
            throw .endpoint(endpoint, reason: reason())
        }
        guard status.st_mode & S_IFMT == S_IFSOCK else {
            throw .endpoint(endpoint, reason: "a file that is not a socket has this name")
        }
        let probe = try makeSocket(endpoint)
        defer { close(probe) }
        let result = connect(probe, to: path, by: Glibc.connect)
        if result == 0 || errno == EAGAIN {
            throw .endpoint(endpoint, reason: "another process listens there already")
        }
        guard errno == ECONNREFUSED else { throw .endpoint(endpoint, reason: reason()) }
        guard unlink(path) == 0 || errno == ENOENT else {
            throw .endpoint(endpoint, reason: "cannot replace the old socket: \(reason())")
        }
    }

    private static func makeSocket(_ endpoint: String) throws(TransportError) -> Int32 {
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let descriptor = socket(AF_UNIX, type, 0)
        guard descriptor >= 0 else { throw .system(call: "socket", reason: reason()) }
        return descriptor
    }

    private static func lockFolder(
        of path: String, _ endpoint: String
    ) throws(TransportError) -> Int32 {
        let name: String
        switch path.lastIndex(of: "/") {
        case nil: name = "."
        case path.startIndex?: name = "/"
        case let slash?: name = String(path[..<slash])
        }
        let descriptor = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw .endpoint(endpoint, reason: "folder \(name): \(reason())")
        }
        var result = flock(descriptor, LOCK_EX)
        while result != 0, errno == EINTR { result = flock(descriptor, LOCK_EX) }
        return descriptor
    }

    private static func identity(of path: String) -> FileIdentity? {
        var status = stat()
        guard lstat(path, &status) == 0 else { return nil }
        return FileIdentity(device: UInt(status.st_dev), inode: UInt(status.st_ino))
    }

    /// Calls `bind` or `connect` with a path that `Endpoint` has found short enough.
    private static func connect(
        _ socket: Int32, to path: String,
        by call: (Int32, UnsafePointer<sockaddr>?, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { destination in
            destination.copyBytes(from: path.utf8.prefix(Endpoint.longestPath))
        }
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                call(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    private static func reason() -> String { systemReason(errno) }
}
