import Encoders
import IPC
import JSON

/// How many layers are left out, of all text encoders or of each.
struct ClipSkip: Hashable, Sendable {
    let all: Int
    /// Of encoders that have their own.
    let own: [EncoderRole: Int]

    func of(_ role: EncoderRole) -> Int { own[role] ?? all }
}

extension JSONObject {
    /// Members by the roles' names, in a fixed order.
    init<Value>(byRole values: [EncoderRole: Value], _ json: (Value) -> JSONValue) {
        self.init(
            values.map { ($0.key.rawValue, json($0.value)) }.sorted { $0.0 < $1.0 })
    }
}

extension ParameterReader {
    /// An object with a value for some of a pipeline's text encoders, by role; `nil` when it is absent.
    ///
    /// - Throws: `bad_request` for a name that is no text encoder's, and what `read` throws.
    mutating func byRole<Value>(
        _ name: String,
        _ read: (inout ParameterReader, String) throws(WireFault) -> Value?
    ) throws(WireFault) -> [EncoderRole: Value]? {
        guard let object = try object(name) else { return nil }
        let roles: [EncoderRole] = [.clip, .clipL, .clipG, .clipH]
        var values: [EncoderRole: Value] = [:]
        var reader = ParameterReader(object, path: "\(path)\(name).")
        for role in roles { values[role] = try read(&reader, role.rawValue) }
        if let unknown = reader.unknownNames.first {
            throw .parameter(
                path + name, expected: "only " + roles.map(\.rawValue).joined(separator: ", "),
                actual: "\"\(unknown.prefix(100))\"")
        }
        return values
    }
}
