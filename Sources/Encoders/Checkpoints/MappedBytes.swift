import Glibc
import System

/// Read-only bytes of a file (mapped, not read) or of the program itself.
///
/// The object owns the mapping and its file descriptor until it goes away. A mapped file that
/// somebody shortens would make reads past its new end fatal: only headers are looked at in the
/// mapping, right behind `checkLength()`; tensors are read from the file (`readPieces`).
public final class MappedBytes: @unchecked Sendable {
    // @unchecked: the address and count never change after init, and nobody writes through them.
    private let address: UnsafeRawPointer?
    public let count: Int
    /// The descriptor of a mapped file; −1 for bytes that are part of the program.
    private let descriptor: Int32
    private let path: String
    private let owned: [UInt8]

    private init(
        address: UnsafeRawPointer?, count: Int, descriptor: Int32, path: String, owned: [UInt8]
    ) {
        self.address = address
        self.count = count
        self.descriptor = descriptor
        self.path = path
        self.owned = owned
    }

    deinit {
        if descriptor >= 0 {
            if let address, count > 0 { munmap(UnsafeMutableRawPointer(mutating: address), count) }
            close(descriptor)
        }
    }

    /// Bytes held in memory.
    public convenience init(_ bytes: [UInt8]) {
        self.init(address: nil, count: bytes.count, descriptor: -1, path: "memory", owned: bytes)
    }

    /// Bytes that live as long as the program (compiled-in tables).
    package convenience init(unsafeStatic address: UnsafeRawPointer, count: Int, path: String) {
        self.init(address: address, count: count, descriptor: -1, path: path, owned: [])
    }

    /// Maps a regular file.
    ///
    /// - Throws: `EncoderError.file` when it is missing, unreadable or no regular file.
    public static func map(path: String) throws(EncoderError) -> MappedBytes {
        guard !path.utf8.contains(0) else {
            throw .file(path: path, reason: "a path cannot hold a zero byte")
        }
        // O_NONBLOCK: opening a FIFO must not wait for a writer.
        let descriptor = open(path.nativePath, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw .file(path: path, reason: "cannot be opened: \(systemReason(errno))")
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw .file(path: path, reason: "is not a regular file")
        }
        let count = Int(status.st_size)
        guard count > 0 else {
            return MappedBytes(
                address: nil, count: 0, descriptor: descriptor, path: path, owned: [])
        }
        guard let address = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0),
            address != MAP_FAILED
        else {
            let code = errno
            close(descriptor)
            throw .file(path: path, reason: "cannot be mapped: \(systemReason(code))")
        }
        return MappedBytes(
            address: UnsafeRawPointer(address), count: count, descriptor: descriptor, path: path,
            owned: [])
    }

    /// Throws when the file has become shorter than the mapping.
    public func checkLength() throws(EncoderError) {
        guard descriptor >= 0 else { return }
        var status = stat()
        guard fstat(descriptor, &status) == 0, Int(status.st_size) >= count else {
            throw .file(path: path, reason: "was shortened while it was being read")
        }
    }

    /// Gives the memory of a mapped file back to the system; reading again brings it back from the file.
    package func releasePages() {
        guard descriptor >= 0, let address, count > 0 else { return }
        // The mapping is private and never written to, so that nothing is lost.
        madvise(UnsafeMutableRawPointer(mutating: address), count, MADV_DONTNEED)
    }

    /// How much of a file is read at once: what stays in the second-level cache until it is used.
    package static let pieceLength = 1 << 19

    /// A range of the bytes, in order, in pieces of a length; the last may be shorter. A file's are read
    /// from the file, so that one that is shortened meanwhile is an error.
    ///
    /// - Throws: `EncoderError.file` when the file has become shorter or cannot be read.
    package func readPieces(
        _ range: Range<Int>, length: Int, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(EncoderError) {
        precondition(range.upperBound <= count && length > 0)
        guard descriptor >= 0 else {
            withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[range])) }
            return
        }
        let room = UnsafeMutableRawBufferPointer.allocate(
            byteCount: min(length, range.count), alignment: 64)
        defer { room.deallocate() }
        var position = range.lowerBound
        while position < range.upperBound {
            let piece = UnsafeMutableRawBufferPointer(
                rebasing: room[..<min(length, range.upperBound - position)])
            try read(into: piece, from: position)
            body(UnsafeRawBufferPointer(piece))
            position += piece.count
        }
    }

    private func read(
        into room: UnsafeMutableRawBufferPointer, from offset: Int
    ) throws(EncoderError) {
        var done = 0
        while done < room.count {
            let count = pread(
                descriptor, room.baseAddress.map { $0 + done }, room.count - done, offset + done)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw .file(
                    path: path,
                    reason: count == 0
                        ? "was shortened while it was being read"
                        : "cannot be read: \(systemReason(errno))")
            }
            done += count
        }
    }

    /// The bytes, valid while `body` runs.
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        if let address {
            defer { withExtendedLifetime(self) {} }
            return try body(UnsafeRawBufferPointer(start: address, count: count))
        }
        return try owned.withUnsafeBufferPointer { bytes throws(Failure) in
            try body(UnsafeRawBufferPointer(bytes))
        }
    }

    /// A copy of all bytes.
    ///
    /// - Throws: as `readPieces`.
    public func array() throws(EncoderError) -> [UInt8] {
        var all: [UInt8] = []
        all.reserveCapacity(count)
        try readPieces(0..<count, length: Self.pieceLength) { all += $0 }
        return all
    }
}
