/// Where a reply goes: one peer of one of the server's sockets.
public struct ClientAddress: Hashable, Sendable {
    /// Which of the server's sockets the peer is connected to.
    public let socket: Int
    /// The peer's routing id on that socket, 1…255 bytes.
    public let routingID: [UInt8]

    public init(socket: Int, routingID: [UInt8]) {
        self.socket = socket
        self.routingID = routingID
    }

    /// Whether the transport chose the routing id. Such ids are never used again, so a peer that
    /// cannot be reached under one is gone for good.
    public var isAnonymous: Bool { routingID.count == 5 && routingID.first == 0 }
}

extension ClientAddress: CustomStringConvertible {
    public var description: String {
        let digits = routingID.prefix(16).map { byte in
            (byte < 16 ? "0" : "") + String(byte, radix: 16)
        }
        return "client \(socket)/\(digits.joined())"
    }
}
