package import JSON

/// The beginning of a safetensors file; the tensors' bytes follow it in the same order.
package enum SafetensorsWriter {
    /// A tensor as the header lists it.
    package struct Entry: Sendable {
        package let name: String
        package let type: StoredType
        package let shape: [Int]

        package init(name: String, type: StoredType, shape: [Int]) {
            self.name = name
            self.type = type
            self.shape = shape
        }
    }

    /// The length and the JSON of the header, filled up so that the data begins at a multiple of 8 bytes.
    ///
    /// - Parameters:
    ///   - entries: of distinct names; no quantised types.
    ///   - metadata: texts by name, written first; none when it is empty.
    package static func header(_ entries: [Entry], metadata: JSONObject = [:]) -> [UInt8] {
        var object = JSONObject()
        if !metadata.isEmpty { object["__metadata__"] = .object(metadata) }
        var position = 0
        for entry in entries {
            let end = position + entry.shape.reduce(1, *) * entry.type.size
            object[entry.name] = [
                "dtype": .string(entry.type.rawValue),
                "shape": .array(entry.shape.map { .integer($0) }),
                "data_offsets": [.integer(position), .integer(end)],
            ]
            position = end
        }
        var text = Array(JSONValue.object(object).text().utf8)
        text += [UInt8](repeating: UInt8(ascii: " "), count: (8 - text.count % 8) % 8)
        return withUnsafeBytes(of: UInt64(text.count).littleEndian) { Array($0) } + text
    }
}
