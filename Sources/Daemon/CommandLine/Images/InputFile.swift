import Encoders
import Glibc
import JSON
import System

/// Reading the files that are named on the command line.
package enum InputFile {
    /// A daemon takes no larger request.
    package static let largestImage = 256 << 20
    package static let largestText = 64 << 20

    /// A whole file, also a pipe; `-` is standard input.
    package static func read(_ path: String, limit: Int) throws(InputFileError) -> [UInt8] {
        if path == "-" { return try read(STDIN_FILENO, "standard input", limit) }
        guard !path.isEmpty else { throw .unreadable(path: "\"\"", reason: "an empty file name") }
        let descriptor = open(path.nativePath, O_RDONLY | O_CLOEXEC)
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

    /// The lines of a UTF-8 text file without the empty ones and without spaces around them. A byte
    /// order mark before the first is no part of it.
    ///
    /// - Throws: `InputFileError` also for invalid UTF-8 and for a file without any such line.
    package static func lines(_ path: String) throws(InputFileError) -> [String] {
        let bytes = try read(path, limit: largestText)
        let content = bytes.starts(with: JSONValue.byteOrderMark) ? bytes.dropFirst(3) : bytes[...]
        guard let text = String(validating: content, as: UTF8.self) else {
            throw .malformed(path: path, reason: "the file is not UTF-8 text" + clue(bytes))
        }
        let lines = text.split(whereSeparator: \.isNewline).map(trimmed).filter { !$0.isEmpty }
        if lines.isEmpty {
            throw .malformed(path: path, reason: "the file has no line with text in it")
        }
        return lines
    }

    /// What a file that is no UTF-8 is, or in which line it stops being that.
    private static func clue(_ bytes: [UInt8]) -> String {
        if bytes.starts(with: [0xff, 0xfe]) || bytes.starts(with: [0xfe, 0xff]) {
            return " but UTF-16: save it as UTF-8"
        }
        var number = 0
        for line in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            number += 1
            if String(validating: line, as: UTF8.self) == nil { return " in line \(number)" }
        }
        return ""
    }

    package static func trimmed(_ text: some StringProtocol) -> String {
        let end = text.lastIndex { !$0.isWhitespace }
        guard let start = text.firstIndex(where: { !$0.isWhitespace }), let end else { return "" }
        return String(text[start...end])
    }
}
