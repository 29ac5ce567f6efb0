/// The memory of large replies that the messaging library holds until it has sent them.
///
/// The library counts messages for each peer, not bytes: what is more than a bound is not handed to
/// it, and waits in the outbox as if the peer's queue were full.
struct Loans {
    private let perClient: Int
    private let inAll: Int
    private let all = LentBytes()
    private var clients: [ClientAddress: LentBytes] = [:]
    /// How many clients there may be before those to whom nothing is lent are forgotten.
    private var sweepAt = 64

    init(perClient: Int, inAll: Int) {
        self.perClient = perClient
        self.inAll = inAll
    }

    /// Lent to all clients.
    var bytes: Int { all.value }

    mutating func send(
        _ message: [Frame], to client: ClientAddress, on sockets: ServerSockets
    ) -> SendResult {
        let socket = sockets.bound[client.socket].socket
        let size = message.reduce(0) { $0 + $1.lentBytes }
        guard size > 0 else { return socket.send(message) }
        let own = clients[client] ?? LentBytes()
        if own.value > 0, own.value + size > perClient { return .full }
        if all.value > 0, all.value + size > inAll { return .full }
        remember(own, of: client)
        return socket.send(message, accounts: [own, all])
    }

    private mutating func remember(_ account: LentBytes, of client: ClientAddress) {
        clients[client] = account
        guard clients.count > sweepAt else { return }
        clients = clients.filter { $0.value.value > 0 }
        clients[client] = account
        sweepAt = max(64, 2 * clients.count)
    }
}
