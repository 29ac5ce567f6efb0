/// The wire protocol; see `protocol.md`.
public enum WireProtocol {
    /// Frame 0 of every message: protocol name and major version.
    public static let magic: [UInt8] = Array("GD01".utf8)
}
