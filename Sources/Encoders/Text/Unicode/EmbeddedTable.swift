import CEmbedded

/// A table of text that is compiled into the program: `@ name` opens a section, `#` a comment, and
/// items stand between spaces.
///
/// The grammar of an item is `first[-last][/step][:value[+value]…][!]`, every number hexadecimal.
/// The tables are ours, so an item that cannot be read is skipped here and missed by the tests.
struct EmbeddedTable {
    struct Item {
        var first: UInt32 = 0
        var last: UInt32 = 0
        var step: UInt32 = 1
        var values: [Int] = []
        /// Marked with `!`.
        var isMarked = false
    }

    private(set) var sections: [String: [Item]] = [:]

    init(_ file: guidanced_embedded_file) {
        var name = ""
        for line in Self.lines(of: file) where line.first != UInt8(ascii: "#") {
            if line.first == UInt8(ascii: "@") {
                name = String(decoding: line.dropFirst(2), as: UTF8.self)
                continue
            }
            for item in line.split(separator: UInt8(ascii: " ")) {
                if let item = Self.item(item) { sections[name, default: []].append(item) }
            }
        }
    }

    subscript(section: String) -> [Item] { sections[section] ?? [] }

    /// The scalars of the first values of a section, in order.
    func scalars(_ section: String) -> [UInt32] { self[section].map(\.first) }

    /// The lines of a compiled-in file, without their ends.
    static func lines(of file: guidanced_embedded_file) -> [ArraySlice<UInt8>] {
        guard let start = file.bytes else { return [] }
        let bytes = [UInt8](UnsafeRawBufferPointer(start: start, count: file.size))
        return bytes.split(separator: UInt8(ascii: "\n"))
    }

    private static func item(_ text: ArraySlice<UInt8>) -> Item? {
        var item = Item()
        var text = text
        if text.last == UInt8(ascii: "!") {
            item.isMarked = true
            text.removeLast()
        }
        let parts = text.split(separator: UInt8(ascii: ":"), maxSplits: 1)
        guard let key = parts.first else { return nil }
        if parts.count == 2 {
            item.values = parts[1].split(separator: UInt8(ascii: "+")).compactMap(number)
        }
        let stepped = key.split(separator: UInt8(ascii: "/"))
        if stepped.count == 2, let step = number(stepped[1]) { item.step = UInt32(step) }
        let bounds = stepped[0].split(separator: UInt8(ascii: "-")).compactMap(number)
        guard let first = bounds.first, let last = bounds.last else { return nil }
        (item.first, item.last) = (UInt32(first), UInt32(last))
        return item
    }

    static func number(_ digits: ArraySlice<UInt8>) -> Int? {
        Int(String(decoding: digits, as: UTF8.self), radix: 16)
    }
}
