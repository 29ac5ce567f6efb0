import Encoders
import Glibc
import System

/// Where a command's result goes: a file, or standard output (`-`, or nothing stated).
package struct OutputFile: Equatable, Sendable {
    /// `nil` for standard output.
    package let path: String?

    package init(_ path: String?) { self.path = path == "-" ? nil : path }

    /// Says early, before any work is done, whether the file can be written at all.
    package func checkWritable() throws(OutputError) {
        guard let path else { return }
        guard !path.isEmpty else { throw .failed(name: "\"\"", reason: "an empty file name") }
        if access(path.nativePath, F_OK) == 0 {
            var status = stat()
            if stat(path.nativePath, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
                throw .failed(name: path, reason: systemReason(EISDIR))
            }
            if access(path.nativePath, W_OK) != 0 {
                throw .failed(name: path, reason: systemReason(errno))
            }
            return
        }
        let folder: String
        if let slash = path.lastIndex(of: "/") {
            folder = slash == path.startIndex ? "/" : String(path[..<slash])
        } else {
            folder = "."
        }
        if access(folder.nativePath, W_OK | X_OK) != 0 {
            throw .failed(name: path, reason: systemReason(errno))
        }
    }

    /// Writes the whole result. Text also gets to a terminal; binary data is refused there.
    package func write(_ bytes: [UInt8], isBinary: Bool, console: Console) throws(OutputError) {
        guard let path else {
            if isBinary, console.output.isTerminal { throw .binaryToTerminal }
            try console.output.write(bytes)
            return
        }
        let descriptor = open(path.nativePath, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw .failed(name: path, reason: systemReason(errno)) }
        do throws(OutputError) {
            try DescriptorSink(descriptor: descriptor, name: path).write(bytes)
        } catch {
            close(descriptor)
            throw error
        }
        // Some file systems report a full disk only here.
        if close(descriptor) != 0 { throw .failed(name: path, reason: systemReason(errno)) }
    }
}
