/// An address that a server may bind or a client connect to.
package enum Endpoint: Equatable {
    /// A socket file.
    case ipc(path: String)
    /// A name in Linux's abstract namespace, without a file.
    case abstract(name: String)
    /// A loopback address; `port` may be `*`.
    case tcp(host: String, port: String)

    /// Longest path of a socket file: `sockaddr_un.sun_path` less its terminator.
    static let longestPath = 107

    /// - Throws: `TransportError.endpoint` for another transport, a malformed address, or one that
    ///   other machines could reach.
    package static func parse(_ text: String) throws(TransportError) -> Endpoint {
        if text.utf8.contains(0) {
            throw .endpoint(text, reason: "the address has a zero byte")
        }
        if let path = text.dropping(prefix: "ipc://") {
            return try parseIPC(path, text)
        }
        if let address = text.dropping(prefix: "tcp://") {
            return try parseTCP(address, text)
        }
        throw .endpoint(
            text, reason: "expected ipc:///path, tcp://127.0.0.1:PORT or tcp://[::1]:PORT")
    }

    private static func parseIPC(_ path: String, _ text: String) throws(TransportError) -> Endpoint
    {
        if path.utf8.count > longestPath {
            throw .endpoint(
                text,
                reason: "the path is \(path.utf8.count) bytes; a socket's may have \(longestPath)")
        }
        if let name = path.dropping(prefix: "@"), !name.isEmpty { return .abstract(name: name) }
        if path.isEmpty || path == "*" || path == "@" || path.hasSuffix("/") {
            throw .endpoint(text, reason: "expected the path of a socket file")
        }
        return .ipc(path: path)
    }

    private static func parseTCP(
        _ address: String, _ text: String
    ) throws(TransportError) -> Endpoint {
        guard let colon = address.lastIndex(of: ":") else {
            throw .endpoint(text, reason: "expected a port after the host, such as :5555 or :*")
        }
        let host = String(address[..<colon])
        let port = String(address[address.index(after: colon)...])
        let isNumber = !port.isEmpty && port.utf8.allSatisfy { (0x30...0x39).contains($0) }
        guard port == "*" || (isNumber && (Int(port).map { $0 <= 65_535 } ?? false)) else {
            throw .endpoint(text, reason: "expected a port of 0…65535 or *, found \"\(port)\"")
        }
        guard isLoopback(host) else {
            throw .endpoint(
                text,
                reason: "only loopback addresses (127.0.0.1, [::1]) may be used: other machines "
                    + "could reach \(host), and connections are neither encrypted nor "
                    + "authenticated")
        }
        return .tcp(host: host, port: port)
    }

    private static func isLoopback(_ host: String) -> Bool {
        if host == "[::1]" { return true }
        let octets = host.split(separator: ".", omittingEmptySubsequences: false)
        return octets.count == 4 && octets[0] == "127"
            && octets.allSatisfy { (1...3).contains($0.utf8.count) && UInt8($0) != nil }
    }
}

extension String {
    fileprivate func dropping(prefix: String) -> String? {
        hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil
    }
}
