import Encoders
import IPC

/// Several FP32 arrays in one file.
package enum TensorArchive: String, CaseIterable, Sendable {
    /// NumPy's archive, as `numpy.load` reads it: a zip file of uncompressed `.npy` files.
    case npz
    /// The format of the `safetensors` library.
    case safetensors

    /// The format that a file's name ends in; `nil` for another ending.
    package init?(path: String) {
        guard let dot = path.lastIndex(of: ".") else { return nil }
        self.init(rawValue: String(path[path.index(after: dot)...]))
    }

    package struct Array: Sendable {
        package let name: String
        package let shape: [Int]
        package let values: [Float]

        package init(name: String, shape: [Int], values: [Float]) {
            precondition(shape.reduce(1, *) == values.count, "an array's values fill its shape")
            self.name = name
            self.shape = shape
            self.values = values
        }
    }

    /// The bytes of a file with these arrays, in order; names are distinct.
    package func encode(_ arrays: [Array]) -> [UInt8] {
        switch self {
        case .npz: TensorArchive.zip(arrays)
        case .safetensors: TensorArchive.safetensors(arrays)
        }
    }

    private static func safetensors(_ arrays: [Array]) -> [UInt8] {
        var bytes = SafetensorsWriter.header(
            arrays.map { .init(name: $0.name, type: .f32, shape: $0.shape) })
        bytes.reserveCapacity(bytes.count + arrays.reduce(0) { $0 + 4 * $1.values.count })
        for array in arrays { array.values.withUnsafeBytes { bytes += $0 } }
        return bytes
    }

    /// PKWARE's APPNOTE: local headers and data, the central directory, its end.
    private static func zip(_ arrays: [Array]) -> [UInt8] {
        var bytes: [UInt8] = []
        var directory: [UInt8] = []
        for array in arrays {
            let name = [UInt8]((array.name + ".npy").utf8)
            let content = NPY.encode(array.values, shape: array.shape)
            let start = bytes.count
            // Version 2.0, UTF-8 names, stored, 1 January 1980.
            var common = little(20, 2) + little(0x0800, 2) + little(0, 2) + little(0, 2)
            common += little(0x0021, 2) + little(UInt64(crc32(content)), 4)
            common += little(UInt64(content.count), 4) + little(UInt64(content.count), 4)
            common += little(UInt64(name.count), 2) + little(0, 2)
            bytes += [0x50, 0x4b, 3, 4] + common + name + content
            directory += [0x50, 0x4b, 1, 2] + little(20, 2) + common
            // No comment, first disk, no attributes.
            directory += little(0, 2) + little(0, 2) + little(0, 2) + little(0, 4)
            directory += little(UInt64(start), 4) + name
        }
        let start = bytes.count
        bytes += directory
        bytes += [0x50, 0x4b, 5, 6] + little(0, 2) + little(0, 2)
        bytes += little(UInt64(arrays.count), 2) + little(UInt64(arrays.count), 2)
        bytes += little(UInt64(directory.count), 4) + little(UInt64(start), 4) + little(0, 2)
        return bytes
    }

    private static func little(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }

    /// CRC-32 of zip files (ISO 3309, reflected polynomial 0xedb88320).
    private static func crc32(_ bytes: [UInt8]) -> UInt32 {
        var crc: UInt32 = 0xffff_ffff
        for byte in bytes { crc = crc >> 8 ^ crcTable[Int((crc ^ UInt32(byte)) & 0xff)] }
        return ~crc
    }

    private static let crcTable: [UInt32] = (0..<256).map { index in
        (0..<8).reduce(UInt32(index)) { value, _ in
            value & 1 == 1 ? value >> 1 ^ 0xedb8_8320 : value >> 1
        }
    }
}

extension Reply {
    /// Every FP32 output.
    ///
    /// - Throws: `ReplyError` for an output that is not as the protocol says.
    package func arrays() throws(ReplyError) -> [TensorArchive.Array] {
        var arrays: [TensorArchive.Array] = []
        for output in outputs {
            let (values, shape) = try tensor(output.header.name)
            arrays.append(
                TensorArchive.Array(name: output.header.name, shape: shape, values: values))
        }
        return arrays
    }
}
