import Glibc

/// Reading the files that are named on the command line.
package enum InputFile {
    /// A daemon takes no larger request.
    package static let largestImage = 256 << 20
    package static let largestText = 64 << 20

    /// A whole file, also a pipe; `-` is standard input.
    package static func read(_ path: String, limit: Int) throws(InputFileError) -> [UInt8] {
        if path == "-" { return try read(STDIN_FILENO, "standard input", limit) }
        guard !path.isEmpty else { throw .unreadable(path: "\"\"", reason: "an empty file name") }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .unreadable(path: path, reason: systemReason(errno)) }
        defer { close(descriptor) }
        return try read(descriptor, path, limit)
    }

    private static func read(
        _ descriptor: Int32, _ path: String, _ limit: Int
    ) throws(InputFileError) -> [UInt8] {
        var status = stat()
        var expected = 0
        if fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG {
            expected = Int(status.st_size)
        }
        if expected > limit { throw .tooLarge(path: path, limit: limit) }
        var bytes: [UInt8] = []
        while bytes.count <= limit {
            // One byte more than is expected, so that the end is seen without another round.
            let room = max(expected + 1 - bytes.count, 1 << 16)
            var count = 0
            bytes.append(
                contentsOf: [UInt8](unsafeUninitializedCapacity: room) { buffer, used in
                    repeat {
                        count = Glibc.read(descriptor, buffer.baseAddress, room)
                    } while count < 0
                        && errno == EINTR
                    used = max(count, 0)
                })
            if count < 0 { throw .unreadable(path: path, reason: systemReason(errno)) }
            if count == 0 { return bytes }
        }
        throw .tooLarge(path: path, limit: limit)
    }

    /// The lines of a UTF-8 text file without the empty ones and without spaces around them.
    ///
    /// - Throws: `InputFileError` also for invalid UTF-8 and for a file without any such line.
    package static func lines(_ path: String) throws(InputFileError) -> [String] {
        let bytes = try read(path, limit: largestText)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw .malformed(path: path, reason: "the file is not UTF-8 text")
        }
        let lines = text.split(whereSeparator: \.isNewline).map(trimmed).filter { !$0.isEmpty }
        if lines.isEmpty {
            throw .malformed(path: path, reason: "the file has no line with text in it")
        }
        return lines
    }

    package static func trimmed(_ text: some StringProtocol) -> String {
        let end = text.lastIndex { !$0.isWhitespace }
        guard let start = text.firstIndex(where: { !$0.isWhitespace }), let end else { return "" }
        return String(text[start...end])
    }
}
