import JSON

/// The parsed and checked header of a safetensors file.
struct SafetensorsHeader {
    private(set) var entries: [String: SafetensorsFile.Entry] = [:]
    private(set) var names: [String] = []
    private(set) var metadata: [String: String] = [:]
    private let path: String
    private let dataStart: Int
    private let dataCount: Int

    init(_ file: UnsafeRawBufferPointer, path: String) throws(EncoderError) {
        self.path = path
        guard file.count >= 8 else {
            throw .malformed(
                path: path, offset: 0, expected: "a header length of 8 bytes",
                actual: "a file of \(file.count) bytes")
        }
        let stated = UInt64(littleEndian: file.loadUnaligned(as: UInt64.self))
        guard stated <= UInt64(SafetensorsFile.maximumHeaderLength) else {
            throw .malformed(
                path: path, offset: 0,
                expected: "a header of at most \(SafetensorsFile.maximumHeaderLength) bytes",
                actual: "\(stated)")
        }
        let length = Int(stated)
        guard length <= file.count - 8 else {
            throw .malformed(
                path: path, offset: 0, expected: "a header within the file's \(file.count) bytes",
                actual: "a header of \(length) bytes")
        }
        dataStart = 8 + length
        dataCount = file.count - dataStart
        let text = UnsafeRawBufferPointer(rebasing: file[8..<dataStart])
        let document: JSONValue
        do throws(JSONError) {
            document = try JSONValue.parse(text)
        } catch {
            throw .malformed(
                path: path, offset: 8 + error.offset, expected: error.expected,
                actual: error.actual)
        }
        guard let members = document.objectValue else {
            throw .malformed(
                path: path, offset: 8, expected: "a JSON object", actual: document.kind)
        }
        for (name, value) in members.members {
            if name == "__metadata__" {
                metadata = try Self.readMetadata(value, path: path)
            } else {
                entries[name] = try entry(name, value)
            }
        }
        try checkTiling()
    }

    private static func readMetadata(
        _ value: JSONValue, path: String
    ) throws(EncoderError) -> [String: String] {
        var metadata: [String: String] = [:]
        for (key, text) in value.objectValue?.members ?? [] {
            guard let text = text.stringValue else {
                throw .malformed(
                    path: path, offset: nil, expected: "text for \"\(key)\" in __metadata__",
                    actual: text.kind)
            }
            metadata[key] = text
        }
        guard value.objectValue != nil else {
            throw .malformed(
                path: path, offset: nil, expected: "an object for __metadata__",
                actual: value.kind)
        }
        return metadata
    }

    private func entry(
        _ name: String, _ value: JSONValue
    ) throws(EncoderError) -> SafetensorsFile.Entry {
        guard value.objectValue != nil else {
            throw fault(name, "an object with dtype, shape and data_offsets", value.kind)
        }
        guard let typeName = value["dtype"]?.stringValue else {
            throw fault(name, "a dtype", value["dtype"]?.kind ?? "none")
        }
        guard let type = StoredType(rawValue: typeName), !type.isQuantized else {
            let known = StoredType.allCases.filter { !$0.isQuantized }.map(\.rawValue)
            throw fault(
                name, "a dtype of \(known.joined(separator: ", "))",
                "\"\(typeName)\"")
        }
        let shape = try sizes(name, "shape", value["shape"])
        let offsets = try sizes(name, "data_offsets", value["data_offsets"])
        guard offsets.count == 2, offsets[0] <= offsets[1] else {
            throw fault(name, "data_offsets [begin, end] in order", "\(offsets)")
        }
        guard offsets[1] <= dataCount else {
            throw fault(name, "data_offsets within the \(dataCount) bytes of data", "\(offsets)")
        }
        var length = type.size
        for size in shape {
            let (product, overflow) = length.multipliedReportingOverflow(by: size)
            guard !overflow else { throw fault(name, "a shape that fits in memory", "\(shape)") }
            length = product
        }
        guard length == offsets[1] - offsets[0] else {
            throw fault(
                name, "\(length) bytes for shape \(shape) of \(type.rawValue)",
                "data_offsets \(offsets)")
        }
        return SafetensorsFile.Entry(
            type: type, shape: shape, range: dataStart + offsets[0]..<dataStart + offsets[1])
    }

    private func sizes(
        _ name: String, _ field: String, _ value: JSONValue?
    ) throws(EncoderError) -> [Int] {
        guard let elements = value?.arrayValue else {
            throw fault(name, "an array for \(field)", value?.kind ?? "none")
        }
        var sizes: [Int] = []
        for element in elements {
            guard case .integer(let size) = element, size >= 0 else {
                throw fault(name, "whole numbers from 0 in \(field)", element.text())
            }
            sizes.append(size)
        }
        return sizes
    }

    /// Tensors must follow one another from the first byte of data to the last.
    private mutating func checkTiling() throws(EncoderError) {
        let ordered = entries.sorted {
            ($0.value.range.lowerBound, $0.value.range.upperBound, $0.key)
                < ($1.value.range.lowerBound, $1.value.range.upperBound, $1.key)
        }
        var end = dataStart
        for (name, entry) in ordered {
            guard entry.range.lowerBound == end else {
                let overlap = entry.range.lowerBound < end
                throw fault(
                    name, "data from byte \(end - dataStart), where the one before ends",
                    "\(overlap ? "an overlap" : "a hole"): data from byte "
                        + "\(entry.range.lowerBound - dataStart)")
            }
            end = entry.range.upperBound
        }
        guard end == dataStart + dataCount else {
            throw .malformed(
                path: path, offset: end, expected: "the end of the file after the last tensor",
                actual: "\(dataStart + dataCount - end) more bytes")
        }
        names = ordered.map(\.key)
    }

    private func fault(_ name: String, _ expected: String, _ actual: String) -> EncoderError {
        .tensor(path: path, name: name, expected: expected, actual: actual)
    }
}
