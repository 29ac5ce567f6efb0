package import JSON

extension JSONValue {
    /// Indented text in which a list of plain values stays on one line: an embedding is one line,
    /// not five hundred. Ends in a newline.
    package func document() -> String {
        var text = ""
        write(to: &text, indent: "")
        return text + "\n"
    }

    private var isPlain: Bool {
        switch self {
        case .array, .object: false
        default: true
        }
    }

    private func write(to text: inout String, indent: String) {
        let inner = indent + "  "
        switch self {
        case .array(let elements) where elements.allSatisfy(\.isPlain):
            text += "[" + elements.map { $0.text() }.joined(separator: ", ") + "]"
        case .array(let elements):
            text += "["
            for (index, element) in elements.enumerated() {
                text += index == 0 ? "\n\(inner)" : ",\n\(inner)"
                element.write(to: &text, indent: inner)
            }
            text += "\n\(indent)]"
        case .object(let object) where !object.isEmpty:
            text += "{"
            for (index, member) in object.members.enumerated() {
                text += index == 0 ? "\n\(inner)" : ",\n\(inner)"
                text += JSONValue.string(member.key).text() + ": "
                member.value.write(to: &text, indent: inner)
            }
            text += "\n\(indent)}"
        default: text += self.text()
        }
    }
}
