import Glibc
import System

/// A new directory that appears with all its files or not at all.
///
/// Files are written to a hidden directory beside it, which `commit` renames; one that is not
/// committed is removed.
final class OutputFolder {
    let path: String
    private let hidden: String
    private var names: [String] = []
    private var isCommitted = false

    /// - Throws: `EncoderError.file` when something is at the path already, or the directory cannot be
    ///   made.
    init(_ path: String) throws(EncoderError) {
        var path = path
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw .file(path: path, reason: "is not a path")
        }
        var status = stat()
        guard lstat(path.nativePath, &status) != 0 else {
            throw .file(path: path, reason: "exists already, and nothing is overwritten")
        }
        let slash = path.lastIndex(of: "/")
        let parent = slash.map { String(path[...$0]) } ?? ""
        var template = (parent + ".guidanced-XXXXXX").nativePath
        guard mkdtemp(&template) != nil else {
            throw .file(path: path, reason: "cannot be made: \(systemReason(errno))")
        }
        self.path = path
        hidden = PathText.text(template.dropLast().map(UInt8.init(bitPattern:)))
    }

    deinit {
        guard !isCommitted else { return }
        for name in names { unlink((hidden + "/" + name).nativePath) }
        rmdir(hidden.nativePath)
    }

    /// Writes a file in pieces, one after another.
    func write(
        _ name: String,
        _ pieces: (_ write: ([UInt8]) throws(EncoderError) -> Void)
            throws(EncoderError) -> Void
    ) throws(EncoderError) {
        let place = path + "/" + name
        let descriptor = open(
            (hidden + "/" + name).nativePath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            throw .file(path: place, reason: "cannot be written: \(systemReason(errno))")
        }
        names.append(name)
        defer { close(descriptor) }
        try pieces { (bytes: [UInt8]) throws(EncoderError) in
            var written = 0
            while written < bytes.count {
                let count = bytes.withUnsafeBytes {
                    Glibc.write(
                        descriptor, UnsafeRawBufferPointer(rebasing: $0[written...]).baseAddress,
                        bytes.count - written)
                }
                if count < 0, errno == EINTR { continue }
                guard count > 0 else {
                    throw .file(path: place, reason: "cannot be written: \(systemReason(errno))")
                }
                written += count
            }
        }
        guard fsync(descriptor) == 0 else {
            throw .file(path: place, reason: "cannot be written: \(systemReason(errno))")
        }
    }

    /// Puts the directory in its place.
    ///
    /// - Throws: `EncoderError.file` when something has come there meanwhile.
    func commit() throws(EncoderError) {
        chmod(hidden.nativePath, 0o755)
        guard rename(hidden.nativePath, path.nativePath) == 0 else {
            throw .file(path: path, reason: "cannot be made: \(systemReason(errno))")
        }
        isCommitted = true
    }
}
