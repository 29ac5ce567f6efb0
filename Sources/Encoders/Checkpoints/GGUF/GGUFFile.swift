/// A GGUF file: metadata, and tensors read on demand.
///
/// Layout (`docs/gguf.md` of ggml, versions 2 and 3, little-endian): the four letters, version, counts;
/// metadata by key and type; for each tensor its name, sizes from the innermost on, type and offset;
/// then the data, aligned.
package struct GGUFFile: TensorSource {
    /// A value of the metadata, as far as a checkpoint uses them.
    enum Value: Sendable, Equatable {
        case integer(Int)
        case number(Double)
        case flag(Bool)
        case text(String)
        case texts([String])
        case numbers([Double])
        /// A list of something else.
        case other
    }

    private struct Entry: Sendable {
        let type: StoredType
        /// The outermost size first.
        let shape: [Int]
        let range: Range<Int>
    }

    static let maximumTensors = 1_000_000
    static let maximumKeys = 100_000
    static let maximumText = 1 << 20
    static let maximumElements = 1 << 24
    private static let magic = Array("GGUF".utf8)
    /// ggml's numbers of the types that are read (`ggml.h`).
    private static let types: [UInt32: StoredType] = [
        0: .f32, 1: .f16, 2: .q4v0, 3: .q4v1, 6: .q5v0, 7: .q5v1, 8: .q8v0, 10: .q2k,
        11: .q3k, 12: .q4k, 13: .q5k, 14: .q6k, 20: .iq4nl, 23: .iq4xs, 24: .i8, 25: .i16,
        26: .i32, 27: .i64, 28: .f64, 30: .bf16,
    ]

    package let path: String
    package let tensorNames: [String]
    let metadata: [String: Value]
    private let entries: [String: Entry]
    private let bytes: MappedBytes

    package var container: TensorContainer { .gguf }

    /// Whether bytes begin as such a file.
    static func isLikely(_ bytes: UnsafeRawBufferPointer) -> Bool { bytes.starts(with: magic) }

    /// Checks metadata and every tensor's place; no tensor is read.
    ///
    /// - Throws: `EncoderError.malformed` with the byte offset, `.tensor` for a tensor that does not
    ///   fit, `.unsupported` for another version or a type that is not read.
    package init(bytes: MappedBytes, path: String) throws(EncoderError) {
        try bytes.checkLength()
        let parsed = try bytes.withUnsafeBytes { buffer throws(EncoderError) in
            try Self.parse(buffer, path)
        }
        self.bytes = bytes
        self.path = path
        (metadata, entries, tensorNames) = parsed
    }

    package func shape(of name: String) -> [Int]? { entries[name]?.shape }
    package func storedType(of name: String) -> StoredType? { entries[name]?.type }

    package func releasePages() { bytes.releasePages() }

    package func readStoredBytes(
        _ name: String, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(EncoderError) -> Bool {
        guard let entry = entries[name] else { return false }
        try bytes.readPieces(entry.range, length: entry.type.pieceLength, body)
        return true
    }

    // MARK: reading

    private static func parse(
        _ buffer: UnsafeRawBufferPointer, _ path: String
    ) throws(EncoderError) -> ([String: Value], [String: Entry], [String]) {
        var cursor = ByteCursor(buffer, range: 0..<buffer.count, path: path)
        guard buffer.starts(with: magic) else {
            throw cursor.fault("the letters GGUF", "other bytes")
        }
        _ = try cursor.take(4, "the letters GGUF")
        let version = try cursor.number(UInt32.self, "GGUF's version")
        guard version == 2 || version == 3 else {
            throw .unsupported(
                what: "\(path), GGUF's version", expected: "2 or 3, little-endian",
                actual: "\(version)")
        }
        let tensors = try count(&cursor, "tensors", maximumTensors)
        let keys = try count(&cursor, "keys", maximumKeys)
        var metadata: [String: Value] = [:]
        for _ in 0..<keys {
            let key = try text(&cursor, "a key")
            let type = try cursor.number(UInt32.self, "the type of \(key)")
            metadata[key] = try value(&cursor, type, key)
        }
        var alignment = 32
        if let stated = metadata["general.alignment"] {
            guard case .integer(let value) = stated, (1...1 << 20).contains(value) else {
                throw .configuration(
                    path: path, field: "general.alignment", expected: "a number from 1 to 2^20",
                    actual: "another value")
            }
            alignment = value
        }
        var entries: [String: (type: StoredType, shape: [Int], offset: Int, count: Int)] = [:]
        var names: [String] = []
        for _ in 0..<tensors {
            let (name, entry) = try tensor(&cursor, path)
            guard entries.updateValue(entry, forKey: name) == nil else {
                throw .tensor(
                    path: path, name: name, expected: "each name once", actual: "two of this name")
            }
            names.append(name)
        }
        let start = (cursor.offset + alignment - 1) / alignment * alignment
        var placed: [String: Entry] = [:]
        for (name, entry) in entries {
            let available = buffer.count - start
            guard entry.offset.isMultiple(of: alignment), entry.offset <= available,
                entry.count <= available - entry.offset
            else {
                throw .tensor(
                    path: path, name: name,
                    expected: "\(entry.count) bytes within the \(max(0, available)) bytes of data",
                    actual: "an offset of \(entry.offset)")
            }
            let begin = start + entry.offset
            placed[name] = Entry(
                type: entry.type, shape: entry.shape, range: begin..<begin + entry.count)
        }
        return (metadata, placed, names)
    }

    private static func tensor(
        _ cursor: inout ByteCursor, _ path: String
    ) throws(EncoderError) -> (
        String, (type: StoredType, shape: [Int], offset: Int, count: Int)
    ) {
        let name = try text(&cursor, "a tensor's name")
        let dimensions = try cursor.number(UInt32.self, "the sizes of \(name)")
        guard dimensions <= 8 else {
            throw cursor.fault("at most 8 sizes of \(name)", "\(dimensions)")
        }
        var sizes: [Int] = []
        var elements = 1
        for _ in 0..<dimensions {
            let size = try cursor.count(UInt64.self, "a size of \(name)")
            let (product, overflow) = elements.multipliedReportingOverflow(by: size)
            guard !overflow, product < 1 << 48 else {
                throw .tensor(
                    path: path, name: name, expected: "a shape that fits in memory",
                    actual: "\(sizes + [size])")
            }
            elements = product
            sizes.append(size)
        }
        let code = try cursor.number(UInt32.self, "the type of \(name)")
        let offset = try cursor.count(UInt64.self, "the offset of \(name)")
        guard let type = types[code] else {
            throw .unsupported(
                what: "\(path), tensor \"\(name)\"",
                expected: "F32, F16, BF16, Q8_0, Q5_1, Q5_0, Q4_1, Q4_0, Q6_K, Q5_K, Q4_K, Q3_K, "
                    + "Q2_K, IQ4_NL or IQ4_XS",
                actual: "ggml's type \(code)")
        }
        guard (sizes.first ?? 1).isMultiple(of: type.blockLength) else {
            throw .tensor(
                path: path, name: name,
                expected: "rows of whole blocks of \(type.blockLength) for \(type.rawValue)",
                actual: "rows of \(sizes.first ?? 1)")
        }
        return (
            name,
            (type, sizes.reversed(), offset, elements / type.blockLength * type.size)
        )
    }

    private static func count(
        _ cursor: inout ByteCursor, _ what: String, _ limit: Int
    ) throws(EncoderError) -> Int {
        let count = try cursor.count(UInt64.self, "the number of \(what)")
        guard count <= limit else {
            throw .tooLarge(what: "\(cursor.path), \(what)", limit: limit, actual: count)
        }
        return count
    }

    private static func text(
        _ cursor: inout ByteCursor, _ what: String
    ) throws(EncoderError) -> String {
        try cursor.text(try count(&cursor, "bytes of \(what)", maximumText), what)
    }

    private static func value(
        _ cursor: inout ByteCursor, _ type: UInt32, _ key: String
    ) throws(EncoderError) -> Value {
        switch type {
        case 0: return .integer(Int(try cursor.number(UInt8.self, key)))
        case 1: return .integer(Int(try cursor.number(Int8.self, key)))
        case 2: return .integer(Int(try cursor.number(UInt16.self, key)))
        case 3: return .integer(Int(try cursor.number(Int16.self, key)))
        case 4: return .integer(Int(try cursor.number(UInt32.self, key)))
        case 5: return .integer(Int(try cursor.number(Int32.self, key)))
        case 6:
            return .number(Double(Float(bitPattern: try cursor.number(UInt32.self, key))))
        case 7: return .flag(try cursor.number(UInt8.self, key) != 0)
        case 8: return .text(try text(&cursor, key))
        case 9: return try list(&cursor, key)
        case 10: return .integer(try cursor.count(UInt64.self, key))
        case 11: return .integer(Int(try cursor.number(Int64.self, key)))
        case 12: return .number(try cursor.double(key, bigEndian: false))
        default: throw cursor.fault("a type of metadata for \(key)", "\(type)")
        }
    }

    private static func list(
        _ cursor: inout ByteCursor, _ key: String
    ) throws(EncoderError) -> Value {
        let type = try cursor.number(UInt32.self, "the type of \(key)")
        guard type != 9 else { throw cursor.fault("a list of plain values for \(key)", "lists") }
        let count = try count(&cursor, "elements of \(key)", maximumElements)
        var texts: [String] = []
        var numbers: [Double] = []
        for _ in 0..<count {
            switch try value(&cursor, type, key) {
            case .text(let text): texts.append(text)
            case .integer(let number): numbers.append(Double(number))
            case .number(let number): numbers.append(number)
            default: break
            }
        }
        if texts.count == count, count > 0 { return .texts(texts) }
        return numbers.count == count ? .numbers(numbers) : .other
    }
}
