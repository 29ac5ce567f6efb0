import CEmbedded
import Glibc
import System

/// The files of a checkpoint by name: a directory on disk, the table compiled into the program, or
/// files in memory.
public struct CheckpointFiles: Sendable {
    private enum Storage: Sendable {
        case directory
        case memory([String: MappedBytes])
    }

    /// Where the files are, for messages; `embedded:default` for the built-in model.
    public let path: String
    /// File names without folders, sorted.
    public let names: [String]
    private let storage: Storage

    /// The files of a directory (those in its sub-directories do not count).
    ///
    /// - Throws: `EncoderError.file` when the path is no directory that can be listed.
    public static func directory(_ path: String) throws(EncoderError) -> CheckpointFiles {
        guard !path.isEmpty, !path.utf8.contains(0) else {
            throw .file(path: path, reason: "is not a path")
        }
        var status = stat()
        guard stat(path.nativePath, &status) == 0 else {
            throw .file(path: path, reason: systemReason(errno))
        }
        guard status.st_mode & S_IFMT == S_IFDIR, let handle = opendir(path.nativePath) else {
            throw .file(
                path: path,
                reason: "is not a directory that can be read; a model is a directory with "
                    + CheckpointFiles.expectedContents)
        }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                PathText.text(bytes.prefix { $0 != 0 })
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return CheckpointFiles(path: path, names: names.sorted(), storage: .directory)
    }

    /// The files of a folder in this directory; `nil` when it has none of this name. Files in memory
    /// have no folders.
    ///
    /// - Throws: `EncoderError.file` when it cannot be listed, or when the name would leave the
    ///   checkpoint's directory.
    package func folder(_ name: String) throws(EncoderError) -> CheckpointFiles? {
        try checkName(name)
        guard case .directory = storage, access(path(of: name).nativePath, F_OK) == 0 else {
            return nil
        }
        return try .directory(path(of: name))
    }

    /// Files held in memory, for tests and for tools that build checkpoints.
    public static func memory(_ files: [String: [UInt8]], path: String) -> CheckpointFiles {
        CheckpointFiles(
            path: path, names: files.keys.sorted(),
            storage: .memory(files.mapValues { MappedBytes($0) }))
    }

    /// The model compiled into the program; no files when it was built without one.
    public static var embeddedDefault: CheckpointFiles {
        var files: [String: MappedBytes] = [:]
        for index in 0..<guidanced_default_model_file_count() {
            let file = guidanced_default_model_file(index)
            guard let name = file.name, let bytes = file.bytes else { continue }
            let text = String(cString: name)
            files[text] = MappedBytes(
                unsafeStatic: bytes, count: file.size, path: "embedded:default/\(text)")
        }
        return CheckpointFiles(
            path: "embedded:default", names: files.keys.sorted(), storage: .memory(files))
    }

    /// The bytes of a file; `nil` when the checkpoint has none of this name.
    ///
    /// - Throws: `EncoderError.file` when it exists and cannot be read, or when the name would leave
    ///   the checkpoint's directory.
    public func bytes(named name: String) throws(EncoderError) -> MappedBytes? {
        try checkName(name)
        switch storage {
        case .memory(let files): return files[name]
        case .directory:
            let full = self.path(of: name)
            // Looked up now, not in `names`: a file may have come since.
            guard access(full.nativePath, F_OK) == 0 else { return nil }
            return try MappedBytes.map(path: full)
        }
    }

    private func checkName(_ name: String) throws(EncoderError) {
        guard !name.isEmpty, name != ".", name != "..", !name.contains("/"),
            !name.utf8.contains(0)
        else {
            throw .file(path: path, reason: "\"\(name)\" is not the name of a file in it")
        }
    }

    /// Where a file of this checkpoint is, for messages.
    public func path(of name: String) -> String { path + "/" + name }

    static let expectedContents =
        "config.json (transformers), open_clip_config.json (open_clip) or model_index.json "
        + "(diffusers), and weights in *.safetensors or *.bin"
}
