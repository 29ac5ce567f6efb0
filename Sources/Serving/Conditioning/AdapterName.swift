import Encoders

/// What a textual inversion or a LoRA may be called.
package enum AdapterName {
    package static let expected = "a name of 1…128 bytes, with spaces only between its words"

    package static func isValid(_ name: String) -> Bool {
        (1...128).contains(name.utf8.count) && PathText.firstEscape(in: name) == nil
            && name.unicodeScalars.allSatisfy {
                ($0 == " " || !$0.properties.isWhitespace)
                    && $0.properties.generalCategory != .control
            } && name.first != " " && name.last != " "
    }

    /// A text between quotation marks, of a long one the beginning.
    package static func quoted(_ text: String) -> String {
        "\"\(text.prefix(200))\(text.count > 200 ? "…" : "")\""
    }
}
