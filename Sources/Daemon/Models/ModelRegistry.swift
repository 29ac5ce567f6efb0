package import Encoders
package import IPC

/// The models that this process serves, by name.
package struct ModelRegistry: Sendable {
    /// Where a model comes from: `NAME=PATH` on the command line.
    package struct Source: Equatable, Sendable {
        package let name: String
        package let path: String
        /// How the weights are to be held: the first serves requests that name no precision.
        package var options: [ComputeOptions]

        package init(
            name: String, path: String, options: [ComputeOptions] = [ComputeOptions()]
        ) {
            self.name = name
            self.path = path
            self.options = options
        }

        /// The path that means the model compiled into the binary.
        package static let embeddedPath = "embedded:default"
        package static let embedded = Source(name: "default", path: embeddedPath)
    }

    /// In the order in which they were named, each in its first precision.
    package let models: [LoadedModel]
    package let defaultModel: LoadedModel
    /// Every model in every precision.
    private let variants: [String: [LoadedModel]]

    /// Loads every source.
    ///
    /// - Parameters:
    ///   - sources: at least one; names are distinct.
    ///   - defaultName: the model of requests that name none; `nil` for the first source.
    package init(sources: [Source], defaultName: String? = nil) throws(EncoderError) {
        var models: [LoadedModel] = []
        var variants: [String: [LoadedModel]] = [:]
        for source in sources {
            if models.contains(where: { $0.name == source.name }) {
                throw .unsupported(
                    what: "model name", expected: "each name once", actual: "two \(source.name)")
            }
            let loaded = try ModelRegistry.load(source)
            models.append(loaded[0])
            variants[source.name] = loaded
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
        self.variants = variants
        defaultModel = chosen
    }

    /// Loads the model at a path, or the one compiled into the binary, in each precision asked for.
    ///
    /// A path may name one of several encoders behind a `#` (`sd_xl_base.safetensors#clip_g`).
    package static func load(_ source: Source) throws(EncoderError) -> [LoadedModel] {
        precondition(!source.options.isEmpty, "a model is loaded in one precision at least")
        if source.path == Source.embeddedPath {
            return try LoadedModel.load(
                name: source.name, contents: try .directory(.embeddedDefault),
                options: source.options)
        }
        var path = source.path
        var role: EncoderRole?
        if let mark = path.lastIndex(of: "#"),
            let named = EncoderRole(rawValue: String(path[path.index(after: mark)...]))
        {
            role = named
            path = String(path[..<mark])
        }
        return try LoadedModel.load(
            name: source.name, contents: try .open(path), only: role, options: source.options)
    }

    /// Precisions in which a model's weights are loaded, the default first.
    package func precisions(of model: LoadedModel) -> [Precision] {
        variants[model.name, default: [model]].map(\.precision)
    }

    /// Every model in every precision, for what looks after all.
    package var all: [LoadedModel] { models.flatMap { variants[$0.name, default: [$0]] } }

    /// The model of a request in the precision that it names.
    ///
    /// - Throws: `unknown_model` with the names that exist; `bad_request` with the precisions whose
    ///   weights are loaded.
    package func resolve(
        _ name: String?, precision: Precision?
    ) throws(WireFault) -> LoadedModel {
        let model = try resolve(name)
        guard let precision, precision != model.precision else { return model }
        let loaded = variants[model.name, default: [model]]
        if let variant = loaded.first(where: { $0.precision == precision }) { return variant }
        throw .parameter(
            "precision",
            expected: "one whose weights are loaded for \"\(model.name)\" ("
                + loaded.map(\.precision.rawValue).joined(separator: ", ") + ")",
            actual: precision.rawValue)
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
