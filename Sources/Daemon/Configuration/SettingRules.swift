package import Encoders
package import Serving

/// What every setting must be like, whether it comes from a flag or from a file.
package enum SettingRules {
    package static let threads = 1...1024
    package static let queuedRequests = 1...1_000_000
    package static let queuedBytes = 1...(1 << 50)
    /// 0 keeps nothing.
    package static let cacheBytes = 0...(1 << 50)
    package static let activationBudget = 1...(1 << 50)
    package static let batchWait = 0...1_000_000

    package static func checkEndpoint(
        _ endpoint: String, _ field: String, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> String {
        guard isEndpoint(endpoint) else {
            throw ConfigurationError(
                origin, field, expected: "ipc://PATH or tcp://HOST:PORT", actual: quoted(endpoint))
        }
        return endpoint
    }

    /// Whether a text names its transport; the transport itself checks the rest.
    package static func isEndpoint(_ text: String) -> Bool {
        ["ipc://", "tcp://"].contains { text.hasPrefix($0) && text.utf8.count > $0.utf8.count }
            && PathText.firstEscape(in: text) == nil
    }

    package static func checkRange(
        _ value: Int, _ range: ClosedRange<Int>, _ field: String,
        _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> Int {
        guard range.contains(value) else {
            throw ConfigurationError(
                origin, field, expected: "\(range.lowerBound)…\(range.upperBound)",
                actual: "\(value)")
        }
        return value
    }

    /// Precisions by name, separated by commas; `auto` is the fastest native one with gradients.
    package static func precisions(
        _ text: String, model: String?, _ field: String, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> StatedPrecisions {
        var precisions: [Precision] = []
        for name in text.split(separator: ",", omittingEmptySubsequences: false) {
            let precision = name == "auto" ? .automatic : Precision(rawValue: String(name))
            guard let precision else {
                throw ConfigurationError(
                    origin, field,
                    expected: "f32, bf16, int8, auto, or several separated by commas",
                    actual: quoted(text))
            }
            guard !precisions.contains(precision) else {
                throw ConfigurationError(
                    origin, field, expected: "each precision once",
                    actual: quoted(text))
            }
            precisions.append(precision)
        }
        return StatedPrecisions(model: model, precisions: precisions)
    }

    /// An image profile by name.
    package static func imageProfile(
        _ text: String, model: String?, _ field: String, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> StatedProfile {
        guard let profile = ImagePreprocessing.Profile(rawValue: text) else {
            throw ConfigurationError(
                origin, field,
                expected: "one of "
                    + ImagePreprocessing.Profile.allCases.map(\.rawValue).joined(separator: ", "),
                actual: quoted(text))
        }
        return StatedProfile(model: model, profile: profile)
    }

    package static func checkBackend(
        _ name: String, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> ComputeBackend {
        guard let backend = ComputeBackend(rawValue: name), backend.isBuiltIn else {
            let names = ComputeBackend.allCases.filter(\.isBuiltIn).map(\.rawValue)
            throw ConfigurationError(
                origin, "backend", expected: names.joined(separator: " or "), actual: quoted(name))
        }
        return backend
    }

    package static func checkGradients(
        _ text: String, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> GradientWeights {
        guard let choice = GradientWeights(rawValue: text) else {
            throw ConfigurationError(
                origin, "gradients", expected: "eager, lazy or off", actual: quoted(text))
        }
        return choice
    }

    package static func checkInstructions(
        _ name: String, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> InstructionSet {
        guard let set = InstructionSet(name: name), set.rawValue <= InstructionSet.best.rawValue
        else {
            let names = InstructionSet.allCases.filter {
                $0.rawValue <= InstructionSet.best.rawValue
            }
            throw ConfigurationError(
                origin, "instructions",
                expected: "one that this processor has ("
                    + names.map(\.name).joined(separator: ", ") + ")",
                actual: quoted(name))
        }
        return set
    }

    package static func checkModelName(
        _ name: String, _ field: String, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> String {
        guard isModelName(name) else {
            throw ConfigurationError(
                origin, field,
                expected: "a name of 1…128 letters, digits, \".\", \"_\", \"-\"",
                actual: quoted(name))
        }
        return name
    }

    package static func isModelName(_ name: String) -> Bool {
        (1...128).contains(name.utf8.count)
            && name.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
                    UInt8(ascii: "-"):
                    true
                default: false
                }
            }
    }

    package static func checkAdapterName(
        _ name: String, _ field: String, _ origin: ConfigurationError.Origin
    ) throws(ConfigurationError) -> String {
        guard AdapterName.isValid(name) else {
            throw ConfigurationError(
                origin, field, expected: AdapterName.expected, actual: quoted(name))
        }
        return name
    }

    package static func quoted(_ text: String) -> String {
        AdapterName.quoted(text)
    }
}
