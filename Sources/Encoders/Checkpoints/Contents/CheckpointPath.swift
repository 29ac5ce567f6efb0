import Glibc

/// Where a checkpoint is as users write it: a file or folder, and behind a `#` the only encoder to take
/// of it (`sd_xl_base.safetensors#clip_g`).
///
/// A file whose own name ends like that is meant itself.
public struct CheckpointPath: Equatable, Sendable {
    public let file: String
    /// `nil` for all encoders that are there.
    public let role: EncoderRole?

    public init(_ text: String) {
        if let mark = text.lastIndex(of: "#"),
            let role = EncoderRole(rawValue: String(text[text.index(after: mark)...])),
            access(text.nativePath, F_OK) != 0
        {
            file = String(text[..<mark])
            self.role = role
        } else {
            file = text
            role = nil
        }
    }

    /// Several paths that are joined by `+`. A `+` in the name of a file that exists, with or without
    /// a `#` behind it, separates nothing.
    public static func list(_ text: String) -> [CheckpointPath] {
        let pieces = text.split(separator: "+", omittingEmptySubsequences: false)
        var paths: [CheckpointPath] = []
        var start = 0
        while start < pieces.count {
            var end = pieces.count
            var path = CheckpointPath(pieces[start..<end].joined(separator: "+"))
            while end > start + 1, access(path.file.nativePath, F_OK) != 0 {
                end -= 1
                path = CheckpointPath(pieces[start..<end].joined(separator: "+"))
            }
            paths.append(path)
            start = end
        }
        return paths
    }
}
