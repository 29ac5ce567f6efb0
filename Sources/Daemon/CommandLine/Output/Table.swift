/// A table of text for people: aligned columns, two spaces apart.
///
/// Long headings are broken between words; cells are never cut. Widths count characters.
package struct Table: Sendable {
    package enum Alignment: Sendable { case left, right }

    package struct Column: Sendable {
        package let heading: String
        package let alignment: Alignment

        package init(_ heading: String, _ alignment: Alignment = .left) {
            self.heading = heading
            self.alignment = alignment
        }
    }

    /// A heading is broken to lines of about this many characters.
    package static let headingWidth = 16

    package let columns: [Column]
    package private(set) var rows: [[String]] = []

    package init(_ columns: [Column]) { self.columns = columns }

    /// - Precondition: one cell a column.
    package mutating func append(_ cells: [String]) {
        precondition(cells.count == columns.count, "one cell a column")
        rows.append(cells.map(Table.printable))
    }

    /// Lines that each end in a newline, without trailing spaces.
    package func text() -> String {
        let headings = columns.map { Table.wrap(Table.printable($0.heading)) }
        var widths = headings.map { lines in lines.map(\.count).max() ?? 0 }
        for row in rows {
            for (index, cell) in row.enumerated() { widths[index] = max(widths[index], cell.count) }
        }
        let height = headings.map(\.count).max() ?? 0
        var text = ""
        for line in 0..<height {
            // Headings stand on the rule below them.
            let cells = headings.map { lines in
                let index = line - (height - lines.count)
                return index >= 0 ? lines[index] : ""
            }
            text += self.line(cells, widths)
        }
        text += line(widths.map { String(repeating: "─", count: $0) }, widths)
        for row in rows { text += line(row, widths) }
        return text
    }

    private func line(_ cells: [String], _ widths: [Int]) -> String {
        var line = ""
        for (index, cell) in cells.enumerated() {
            let padding = String(repeating: " ", count: widths[index] - cell.count)
            if index > 0 { line += "  " }
            line += columns[index].alignment == .right ? padding + cell : cell + padding
        }
        while line.last == " " { line.removeLast() }
        return line + "\n"
    }

    /// Breaks a heading between words.
    private static func wrap(_ text: String) -> [String] {
        var lines: [String] = []
        for word in text.split(separator: " ") {
            if let last = lines.last, last.count + 1 + word.count <= headingWidth {
                lines[lines.count - 1] = last + " " + word
            } else {
                lines.append(String(word))
            }
        }
        return lines
    }

    /// Control characters shown as what they are, so that no file name can move the cursor.
    package static func printable(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar.value {
            case 0x09: result += "\\t"
            case 0x0a: result += "\\n"
            case 0x0d: result += "\\r"
            case 0..<0x20, 0x7f..<0xa0:
                let digits = String(scalar.value, radix: 16)
                result += "\\x" + String(repeating: "0", count: 2 - digits.count) + digits
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
