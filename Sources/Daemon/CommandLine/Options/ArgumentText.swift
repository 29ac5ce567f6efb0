import Encoders
package import IPC
package import JSON

/// Texts that go to a model: UTF-8 or refused. A prompt that was repaired silently would be another
/// prompt.
package enum ArgumentText {
    /// Checks every text among a request's parameters.
    ///
    /// - Throws: `bad_request` naming the parameter and the byte that is no UTF-8.
    package static func check(_ params: JSONObject) throws(WireFault) {
        // A path names a file of this machine, and is bytes.
        for (key, value) in params.members where key != "path" {
            try check(value, "params.\(key)")
        }
    }

    private static func check(_ value: JSONValue, _ field: String) throws(WireFault) {
        if let text = value.stringValue, let escape = PathText.firstEscape(in: text) {
            let digits = String(escape.byte, radix: 16, uppercase: true)
            throw WireFault(
                .badRequest,
                "expected UTF-8 text, found byte 0x\(digits) after \(escape.offset) bytes",
                field: field)
        }
        for (index, element) in (value.arrayValue ?? []).enumerated() {
            try check(element, "\(field)[\(index)]")
        }
        for (key, element) in value.objectValue?.members ?? [] {
            try check(element, "\(field).\(key)")
        }
    }
}
