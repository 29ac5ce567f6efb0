/// The wire protocol; see `protocol.md`.
public enum WireProtocol {
    /// Frame 0 of every message: protocol name and major version.
    public static let magic: [UInt8] = Array("GD01".utf8)

    /// The major versions that this implementation speaks, as their frame 0 reads.
    public static let versions = ["GD01"]

    /// Operations that are answered even while the daemon drains: they look, and do no work.
    public static let introspection: Set<String> = ["hello", "ping", "models", "status", "health"]
}
