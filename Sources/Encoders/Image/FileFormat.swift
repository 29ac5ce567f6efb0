/// Kinds of files that are known by their first bytes and not read: so that an error names them.
enum FileFormat {
    /// What a file is called, such as "a JPEG file"; `nil` for one that is not known.
    static func name(_ bytes: UnsafeRawBufferPointer) -> String? {
        func has(_ text: StaticString, at offset: Int) -> Bool {
            text.withUTF8Buffer { expected in
                bytes.count >= offset + expected.count
                    && bytes[offset..<offset + expected.count].elementsEqual(expected)
            }
        }
        if bytes.starts(with: [0xFF, 0xD8, 0xFF]) { return "a JPEG file" }
        if has("RIFF", at: 0), has("WEBP", at: 8) { return "a WebP file" }
        if has("GIF87a", at: 0) || has("GIF89a", at: 0) { return "a GIF file" }
        if bytes.starts(with: [0x49, 0x49, 0x2A, 0]) || bytes.starts(with: [0x4D, 0x4D, 0, 0x2A]) {
            return "a TIFF file"
        }
        if has("ftyp", at: 4) {
            if has("avif", at: 8) || has("avis", at: 8) { return "an AVIF file" }
            if has("heic", at: 8) || has("heix", at: 8) || has("mif1", at: 8) {
                return "a HEIC file"
            }
            return "a video file"
        }
        if bytes.starts(with: [0xFF, 0x0A]) || has("JXL ", at: 4) { return "a JPEG XL file" }
        if bytes.starts(with: [0, 0, 0, 12]), has("jP  ", at: 4) { return "a JPEG 2000 file" }
        // The length of a BMP file's second header follows: small, so three bytes of it are 0.
        if has("BM", at: 0), bytes.count >= 18, bytes[15..<18].allSatisfy({ $0 == 0 }) {
            return "a BMP file"
        }
        if has("<svg", at: 0) || has("<?xml", at: 0) { return "an XML or SVG file" }
        if has("%PDF", at: 0) { return "a PDF file" }
        return nil
    }
}
