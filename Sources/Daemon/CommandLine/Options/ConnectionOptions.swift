package import ArgumentParser
package import Serving
import System

/// Where a command's work is done: in this process, or by a running daemon.
package struct ConnectionOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "Let the daemon at this endpoint do the work (ipc://PATH or tcp://HOST:PORT).",
            valueName: "endpoint"))
    package var connect: String?

    @Option(
        help: ArgumentHelp(
            "The model: the directory of a checkpoint, or embedded:default (the default). With "
                + "--connect: the name under which the daemon serves it.",
            valueName: "path"))
    package var model: String?

    @Option(
        help: ArgumentHelp(
            "Compute threads (default: one for each available core).", valueName: "n"))
    package var threads: Int?

    @Option(
        help: ArgumentHelp(
            "With --connect: how long one request may take, the first one with connecting "
                + "(default: \(ConnectionOptions.defaultTimeout)).", valueName: "seconds"))
    package var timeout: Int?

    @OptionGroup package var image: ImageProfileOption

    package init() {}

    package static let defaultTimeout = 120
    private static let timeouts = 1...86_400

    package func validate() throws {
        if let connect {
            try ConnectionOptions.checkEndpoint(connect)
            if threads != nil {
                throw ValidationError(
                    "--threads is of no use with --connect: the daemon has its own.")
            }
            if image.imageProfile != nil {
                throw ValidationError(
                    "--image-profile is of no use with --connect: the daemon has one a model.")
            }
            if let model, !SettingRules.isModelName(model) {
                throw ValidationError(
                    "--model: with --connect, expected the name of a model that the daemon serves, "
                        + "found \(SettingRules.quoted(model)).")
            }
        } else {
            if timeout != nil { throw ValidationError("--timeout needs --connect.") }
            if let model { _ = try ModelArgument.parse(model) }
        }
        try ConnectionOptions.check(threads, "--threads", SettingRules.threads)
        try ConnectionOptions.check(timeout, "--timeout", ConnectionOptions.timeouts)
    }

    static func checkEndpoint(_ endpoint: String) throws {
        guard SettingRules.isEndpoint(endpoint) else {
            throw ValidationError(
                "--connect: expected ipc://PATH or tcp://HOST:PORT, "
                    + "found \(SettingRules.quoted(endpoint)).")
        }
    }

    static func check(_ value: Int?, _ name: String, _ range: ClosedRange<Int>) throws {
        guard let value, !range.contains(value) else { return }
        throw ValidationError(
            "\(name): expected \(range.lowerBound)…\(range.upperBound), found \(value).")
    }

    /// The model name that requests carry; `nil` for the only or the default one.
    package var requestModel: String? { connect == nil ? nil : model }

    /// Connects, or loads the model.
    package func open(_ console: Console) throws -> any Session {
        var source = try model.map(ModelArgument.parse) ?? .embedded
        source.imageProfile = image.imageProfile
        return try ConnectionOptions.open(
            connect: connect, timeout: timeout, models: [source], threads: threads, console)
    }

    static func open(
        connect: String?, timeout: Int?, models: [ModelRegistry.Source], threads: Int?,
        _ console: Console
    ) throws -> any Session {
        if let connect {
            return try RemoteSession(
                endpoint: connect,
                timeoutMilliseconds: (timeout ?? defaultTimeout) * 1000)
        }
        let names = models.map(\.path).joined(separator: ", ")
        let registry = try Progress.track("loading \(names)", console: console) { _ in
            try ModelRegistry(sources: models)
        }
        return LocalSession(
            engine: Engine(
                registry: registry, threadCount: threads ?? AvailableThreads.current))
    }
}

/// `NAME=PATH`, or only `PATH`, whose last part is then the name.
package enum ModelArgument {
    /// - Throws: `ValidationError` for an empty path or a name that is none.
    package static func parse(_ text: String) throws -> ModelRegistry.Source {
        if let source = try named(text) { return source }
        guard !text.isEmpty else { throw ValidationError("--model: expected a path, found \"\".") }
        if text == ModelRegistry.Source.embeddedPath { return .embedded }
        let last = text.split(separator: "/").last.map(String.init) ?? ""
        return ModelRegistry.Source(
            name: SettingRules.isModelName(last) ? last : "model", path: text)
    }

    /// Only `NAME=PATH`; `nil` for a text without `=` before its first `/`.
    package static func named(_ text: String) throws -> ModelRegistry.Source? {
        guard let sign = text.firstIndex(of: "="), !text[..<sign].contains("/") else { return nil }
        let name = String(text[..<sign])
        let path = String(text[text.index(after: sign)...])
        guard SettingRules.isModelName(name), !path.isEmpty else {
            throw ValidationError(
                "--model: expected NAME=PATH with a name of 1…128 letters, digits, \".\", \"_\", "
                    + "\"-\", found \(SettingRules.quoted(text)).")
        }
        return ModelRegistry.Source(name: name, path: path)
    }
}

/// `NAME=FILE` of a textual inversion or a LoRA.
package enum AdapterArgument {
    /// - Throws: `ConfigurationError` for a text without a name or a file.
    package static func parse(
        _ text: String, _ kind: Adapters.Kind
    ) throws(ConfigurationError) -> Adapters.Source {
        guard let sign = text.firstIndex(of: "="), text.index(after: sign) < text.endIndex else {
            throw ConfigurationError(
                .flags, kind.rawValue, expected: "NAME=FILE", actual: SettingRules.quoted(text))
        }
        return Adapters.Source(
            kind: kind,
            name: try SettingRules.checkAdapterName(
                String(text[..<sign]), kind.rawValue, .flags),
            path: String(text[text.index(after: sign)...]))
    }
}
