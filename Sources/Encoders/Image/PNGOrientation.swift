/// How a PNG file says that its picture lies: the EXIF orientation.
///
/// Pixels are always taken as they are stored, as the reference libraries' processors do; viewers and
/// `ImageOps.exif_transpose` turn them. Whoever sends such a file is told.
public enum PNGOrientation {
    /// EXIF's number, 2…8; `nil` for an upright picture, for a file that says nothing, and for
    /// metadata that cannot be read, which change no pixel.
    ///
    /// - Parameter file: a PNG file; no checksum is verified here.
    public static func read(_ file: UnsafeRawBufferPointer) -> Int? {
        var position = PNGDecoder.signature.count
        // Length, type, data, checksum; the chunk may stand before or behind the pixels.
        while position <= file.count - 12 {
            guard let length = number(file, position, 4, isLittleEndian: false),
                length <= file.count - position - 12
            else { return nil }
            let data = position + 8..<position + 8 + length
            if file[position + 4..<position + 8].elementsEqual("eXIf".utf8) {
                return orientation(UnsafeRawBufferPointer(rebasing: file[data]))
            }
            position = data.upperBound + 4
        }
        return nil
    }

    /// From a TIFF header (EXIF 2.32, §4.5): byte order, 42, and where the directory is; entries of 12
    /// bytes: tag, type, count, value.
    private static func orientation(_ tiff: UnsafeRawBufferPointer) -> Int? {
        let isLittleEndian = tiff.starts(with: "II".utf8)
        guard isLittleEndian || tiff.starts(with: "MM".utf8),
            number(tiff, 2, 2, isLittleEndian: isLittleEndian) == 42,
            let directory = number(tiff, 4, 4, isLittleEndian: isLittleEndian),
            let count = number(tiff, directory, 2, isLittleEndian: isLittleEndian)
        else { return nil }
        for index in 0..<count {
            let entry = directory + 2 + 12 * index
            guard let tag = number(tiff, entry, 2, isLittleEndian: isLittleEndian) else {
                return nil
            }
            // SHORT, at the beginning of the value's four bytes.
            if tag == 0x112, number(tiff, entry + 2, 2, isLittleEndian: isLittleEndian) == 3,
                let value = number(tiff, entry + 8, 2, isLittleEndian: isLittleEndian)
            {
                return (2...8).contains(value) ? value : nil
            }
        }
        return nil
    }

    private static func number(
        _ bytes: UnsafeRawBufferPointer, _ start: Int, _ size: Int, isLittleEndian: Bool
    ) -> Int? {
        guard start >= 0, start <= bytes.count - size else { return nil }
        let digits = bytes[start..<start + size]
        return isLittleEndian
            ? digits.reversed().reduce(0) { $0 << 8 | Int($1) }
            : digits.reduce(0) { $0 << 8 | Int($1) }
    }
}
