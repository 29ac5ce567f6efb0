package import Encoders
package import IPC

/// The models that this process serves, by name.
package struct ModelRegistry: Sendable {
    /// Where a model comes from: `NAME=PATH` on the command line.
    package struct Source: Equatable, Sendable {
        package let name: String
        package let path: String

        package init(name: String, path: String) {
            self.name = name
            self.path = path
        }

        /// The path that means the model compiled into the binary.
        package static let embeddedPath = "embedded:default"
        package static let embedded = Source(name: "default", path: embeddedPath)
    }

    /// In the order in which they were named.
    package let models: [LoadedModel]
    package let defaultModel: LoadedModel

    /// Loads every source.
    ///
    /// - Parameters:
    ///   - sources: at least one; names are distinct.
    ///   - defaultName: the model of requests that name none; `nil` for the first source.
    package init(sources: [Source], defaultName: String? = nil) throws(EncoderError) {
        var models: [LoadedModel] = []
        for source in sources {
            if models.contains(where: { $0.name == source.name }) {
                throw .unsupported(
                    what: "model name", expected: "each name once", actual: "two \(source.name)")
            }
            models.append(try ModelRegistry.load(source))
        }
        guard let first = models.first else {
            throw .unsupported(what: "models", expected: "at least one", actual: "none")
        }
        let wanted = defaultName ?? first.name
        guard let chosen = models.first(where: { $0.name == wanted }) else {
            throw .unsupported(
                what: "default model",
                expected: "one of \(models.map(\.name).joined(separator: ", "))", actual: wanted)
        }
        self.models = models
        defaultModel = chosen
    }

    /// Loads the model at a path, or the one compiled into the binary.
    ///
    /// A path may name one of several encoders behind a `#` (`sd_xl_base.safetensors#clip_g`).
    package static func load(_ source: Source) throws(EncoderError) -> LoadedModel {
        if source.path == Source.embeddedPath {
            return try LoadedModel(
                name: source.name, contents: try .directory(.embeddedDefault))
        }
        var path = source.path
        var role: EncoderRole?
        if let mark = path.lastIndex(of: "#"),
            let named = EncoderRole(rawValue: String(path[path.index(after: mark)...]))
        {
            role = named
            path = String(path[..<mark])
        }
        return try LoadedModel(name: source.name, contents: try .open(path), only: role)
    }

    /// The model of a request; `default` always means the default model.
    ///
    /// - Throws: `unknown_model` with the names that exist.
    package func resolve(_ name: String?) throws(WireFault) -> LoadedModel {
        guard let name else { return defaultModel }
        if let model = models.first(where: { $0.name == name }) { return model }
        if name == "default" { return defaultModel }
        throw WireFault(
            .unknownModel,
            "expected one of \(models.map(\.name).joined(separator: ", ")), "
                + "found \"\(name.prefix(100))\"",
            field: "model")
    }
}
