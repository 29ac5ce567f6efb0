/// The directory of a zip file, for archives whose entries are stored without compression.
///
/// Layout: PKWARE's APPNOTE 6.3, sections 4.3 (records) and 4.5.3 (zip64). torch stores every tensor
/// as it is; what it deflates (TorchScript's source code) is listed and refused only when asked for.
/// Checksums are not compared: torch can be told to leave them out.
struct ZipArchive: Sendable {
    /// A file in the archive.
    struct Entry: Sendable, Equatable {
        /// Where its bytes are in the archive, as they are stored.
        let range: Range<Int>
        /// 0 for bytes stored as they are.
        let method: UInt16
    }

    /// The first bytes of a zip file that has entries.
    static let signature: [UInt8] = [0x50, 0x4b, 0x03, 0x04]
    /// More entries than any checkpoint has.
    static let maximumEntries = 4_000_000

    let path: String
    /// In the order of the directory.
    let names: [String]
    private let entries: [String: Entry]

    /// Reads and checks the directory; no entry is read.
    ///
    /// - Throws: `EncoderError.malformed` with the byte offset.
    init(_ bytes: UnsafeRawBufferPointer, path: String) throws(EncoderError) {
        self.path = path
        let directory = try Self.directory(bytes, path)
        var cursor = ByteCursor(bytes, range: directory.range, path: path)
        var names: [String] = []
        var entries: [String: Entry] = [:]
        for _ in 0..<directory.count {
            let start = cursor.offset
            let (name, entry) = try Self.entry(&cursor, bytes)
            guard entries.updateValue(entry, forKey: name) == nil else {
                throw cursor.fault("each name once", "two entries \"\(name)\"", at: start)
            }
            names.append(name)
        }
        self.names = names
        self.entries = entries
    }

    /// An entry; `nil` when there is none of this name.
    func entry(_ name: String) -> Entry? { entries[name] }

    /// Where the bytes of an entry are.
    ///
    /// - Throws: `EncoderError.malformed` when it is missing, `.unsupported` when it is compressed.
    func range(_ name: String) throws(EncoderError) -> Range<Int> {
        guard let entry = entries[name] else {
            throw .malformed(
                path: path, offset: nil, expected: "an entry \"\(name)\"",
                actual: "no such entry")
        }
        guard entry.method == 0 else {
            throw .unsupported(
                what: "\(path), entry \"\(name)\"", expected: "stored bytes",
                actual: "compression method \(entry.method)")
        }
        return entry.range
    }

    // MARK: the directory

    private static func directory(
        _ bytes: UnsafeRawBufferPointer, _ path: String
    ) throws(EncoderError) -> (range: Range<Int>, count: Int) {
        // The record is followed by a comment of at most 65,535 bytes.
        let length = 22
        var position = bytes.count - length
        let lowest = max(0, position - 65_535)
        while position >= lowest, !matches(bytes, position, [0x50, 0x4b, 0x05, 0x06]) {
            position -= 1
        }
        guard position >= lowest else {
            throw .malformed(
                path: path, offset: bytes.count, expected: "the end of a zip directory",
                actual: "none: the file is no zip file or was cut short")
        }
        var cursor = ByteCursor(bytes, range: position + 4..<bytes.count, path: path)
        let what = "the end of the zip directory"
        let disk = try cursor.number(UInt16.self, what)
        let directoryDisk = try cursor.number(UInt16.self, what)
        _ = try cursor.number(UInt16.self, what)
        var count = try cursor.count(UInt16.self, what)
        var size = try cursor.count(UInt32.self, what)
        var start = try cursor.count(UInt32.self, what)
        if count == 0xffff || size == 0xffff_ffff || start == 0xffff_ffff {
            (start, size, count) = try zip64Directory(bytes, before: position, path)
        } else if disk != 0 || directoryDisk != 0 {
            throw cursor.fault("an archive in one file", "a part of several", at: position)
        }
        guard count <= maximumEntries else {
            throw .tooLarge(
                what: "\(path), entries of the zip file", limit: maximumEntries, actual: count)
        }
        guard start <= position, size <= position - start else {
            throw cursor.fault(
                "a zip directory before its end", "\(size) bytes from byte \(start)", at: position)
        }
        return (start..<start + size, count)
    }

    private static func zip64Directory(
        _ bytes: UnsafeRawBufferPointer, before position: Int, _ path: String
    ) throws(EncoderError) -> (start: Int, size: Int, count: Int) {
        let locator = position - 20
        let what = "the zip64 directory's end"
        guard locator >= 0, matches(bytes, locator, [0x50, 0x4b, 0x06, 0x07]) else {
            throw .malformed(
                path: path, offset: max(0, locator), expected: "a zip64 locator", actual: "none")
        }
        var cursor = ByteCursor(bytes, range: locator + 8..<position, path: path)
        let record = try cursor.count(UInt64.self, what)
        guard record <= locator - 56, matches(bytes, record, [0x50, 0x4b, 0x06, 0x06]) else {
            throw cursor.fault(what, "none at byte \(record)", at: locator)
        }
        cursor = ByteCursor(bytes, range: record + 32..<record + 56, path: path)
        let count = try cursor.count(UInt64.self, what)
        let size = try cursor.count(UInt64.self, what)
        let start = try cursor.count(UInt64.self, what)
        return (start, size, count)
    }

    private static func entry(
        _ cursor: inout ByteCursor, _ bytes: UnsafeRawBufferPointer
    ) throws(EncoderError) -> (String, Entry) {
        let start = cursor.offset
        let what = "an entry of the zip directory"
        guard try cursor.number(UInt32.self, what) == 0x0201_4b50 else {
            throw cursor.fault(what, "other bytes", at: start)
        }
        _ = try cursor.take(4, what)
        let flags = try cursor.number(UInt16.self, what)
        let method = try cursor.number(UInt16.self, what)
        _ = try cursor.take(8, what)
        var stored = try cursor.count(UInt32.self, what)
        var size = try cursor.count(UInt32.self, what)
        let nameLength = try cursor.count(UInt16.self, what)
        let extraLength = try cursor.count(UInt16.self, what)
        let commentLength = try cursor.count(UInt16.self, what)
        _ = try cursor.take(8, what)
        var header = try cursor.count(UInt32.self, what)
        let name = try cursor.text(nameLength, "a file name")
        let extra = try cursor.take(extraLength, what)
        _ = try cursor.take(commentLength, what)
        var fields = ByteCursor(bytes, range: extra, path: cursor.path)
        while fields.remaining >= 4 {
            let identifier = try fields.number(UInt16.self, what)
            let length = try fields.count(UInt16.self, what)
            let range = try fields.take(length, "an extra field of \"\(name)\"")
            guard identifier == 1 else { continue }
            // The zip64 field holds, in this order, those of the three that did not fit.
            var wide = ByteCursor(bytes, range: range, path: cursor.path)
            if size == 0xffff_ffff { size = try wide.count(UInt64.self, what) }
            if stored == 0xffff_ffff { stored = try wide.count(UInt64.self, what) }
            if header == 0xffff_ffff { header = try wide.count(UInt64.self, what) }
        }
        guard flags & 1 == 0 else {
            throw cursor.fault("an entry without a password", "\"\(name)\"", at: start)
        }
        guard method != 0 || stored == size else {
            throw cursor.fault(
                "\(size) stored bytes for \"\(name)\"", "\(stored)", at: start)
        }
        // The header before the data repeats the name and has padding of its own.
        guard header <= bytes.count - 30, matches(bytes, header, signature) else {
            throw cursor.fault(
                "a header of \"\(name)\"", "none at byte \(header)", at: start)
        }
        var local = ByteCursor(bytes, range: header + 26..<bytes.count, path: cursor.path)
        let skipped =
            try local.count(UInt16.self, what) + local.count(UInt16.self, what)
        _ = try local.take(skipped, "the header of \"\(name)\"")
        return (name, Entry(range: try local.take(stored, "\"\(name)\""), method: method))
    }

    private static func matches(
        _ bytes: UnsafeRawBufferPointer, _ offset: Int, _ expected: [UInt8]
    ) -> Bool {
        guard offset >= 0, offset <= bytes.count - expected.count else { return false }
        for (index, byte) in expected.enumerated() where bytes[offset + index] != byte {
            return false
        }
        return true
    }
}
