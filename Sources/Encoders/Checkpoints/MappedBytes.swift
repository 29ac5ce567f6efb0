import Glibc

/// Read-only bytes of a file (mapped, not read) or of the program itself.
///
/// The object owns the mapping and its file descriptor until it goes away. A mapped file that
/// somebody shortens would make reads past its new end fatal, so readers call `checkLength()` before
/// they copy, and nothing reads from the mapping once a model is loaded.
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
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw .file(path: path, reason: "cannot be opened: \(systemMessage(errno))")
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
            throw .file(path: path, reason: "cannot be mapped: \(systemMessage(code))")
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
    public func array() -> [UInt8] {
        withUnsafeBytes { Array($0) }
    }
}

/// The C library's text for an `errno`.
func systemMessage(_ code: Int32) -> String {
    var buffer = [CChar](repeating: 0, count: 256)
    guard strerror_r(code, &buffer, buffer.count) == 0 else { return "error \(code)" }
    return String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
}
