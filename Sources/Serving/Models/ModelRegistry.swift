package import Encoders
package import IPC
import Synchronization

/// The models that this process serves, by name.
///
/// They are known from the beginning; their towers arrive one after the other, and requests for those
/// that are not there yet wait (`gate`).
package final class ModelRegistry: Sendable {
    /// Where a model comes from: `NAME=PATH` on the command line.
    package struct Source: Equatable, Sendable {
        package let name: String
        package let path: String
        /// How the weights are to be held: the first serves requests that name no precision.
        package var options: [ComputeOptions]
        /// Whose image preprocessing to follow; `nil` for what the checkpoint says.
        package var imageProfile: ImagePreprocessing.Profile?

        package init(
            name: String, path: String, options: [ComputeOptions] = [ComputeOptions()],
            imageProfile: ImagePreprocessing.Profile? = nil
        ) {
            self.name = name
            self.path = path
            self.options = options
            self.imageProfile = imageProfile
        }

        /// The path that means the model compiled into the binary.
        package static let embeddedPath = "embedded:default"
        package static let embedded = Source(name: "default", path: embeddedPath)
    }

    private struct Entry: Sendable {
        let name: String
        let loader: ModelLoader
        /// One for each precision; the first serves requests that name none.
        let slots: [ModelSlot]
    }

    /// In the order in which they were named.
    private let entries: [Entry]
    private let defaultEntry: Entry
    private let isStopped = Mutex(false)

    /// Finds out what every source is, and loads no tower yet.
    ///
    /// - Parameters:
    ///   - sources: at least one; names are distinct.
    ///   - defaultName: the model of requests that name none; `nil` for the first source.
    /// - Throws: `EncoderError` naming the file, field or tensor that is missing or wrong.
    package init(
        identifying sources: [Source], defaultName: String? = nil
    ) throws(EncoderError) {
        var entries: [Entry] = []
        for source in sources {
            if entries.contains(where: { $0.name == source.name }) {
                throw .unsupported(
                    what: "model name", expected: "each name once", actual: "two \(source.name)")
            }
            let loader = try ModelRegistry.loader(source)
            entries.append(
                Entry(
                    name: source.name, loader: loader,
                    slots: loader.identified.map(ModelSlot.init)))
        }
        guard let first = entries.first else {
            throw .unsupported(what: "models", expected: "at least one", actual: "none")
        }
        let wanted = defaultName ?? first.name
        guard let chosen = entries.first(where: { $0.name == wanted }) else {
            throw .unsupported(
                what: "default model",
                expected: "one of \(entries.map(\.name).joined(separator: ", "))", actual: wanted)
        }
        self.entries = entries
        defaultEntry = chosen
    }

    /// Loads every source completely; parameters and errors as of the other initialiser.
    package convenience init(
        sources: [Source], defaultName: String? = nil
    ) throws(EncoderError) {
        try self.init(identifying: sources, defaultName: defaultName)
        try load()
    }

    /// Makes the towers, model by model in the order in which they were named. To be called once.
    ///
    /// - Parameters:
    ///   - arrived: is called when a model has got a side, which serves requests from when it returns.
    ///   - opened: is called when it does.
    /// - Throws: `EncoderError` naming the tensor whose values cannot be used; what serves already goes
    ///   on to.
    package func load(
        arrived: (ModelSlot, TowerKinds) -> Void = { _, _ in },
        opened: (ModelSlot, TowerKinds) -> Void = { _, _ in }
    ) throws(EncoderError) {
        for entry in entries {
            try entry.loader.load(
                isStopped: { isStopped.withLock { $0 } },
                made: { variant, model, kind in
                    let slot = entry.slots[variant]
                    slot.take(model)
                    arrived(slot, kind)
                    slot.open(kind)
                    opened(slot, kind)
                })
        }
    }

    /// Makes no further tower, and refuses requests that need one.
    package func stopLoading() { isStopped.withLock { $0 = true } }

    /// Whether every tower of every model serves requests.
    package var isLoaded: Bool { entries.allSatisfy { $0.slots.allSatisfy(\.isComplete) } }

    /// Names of the models that are not complete in every precision.
    package var incomplete: [String] {
        entries.filter { !$0.slots.allSatisfy(\.isComplete) }.map(\.name)
    }

    /// Whether a request can be worked on that needs these sides of a model.
    func gate(_ slot: ModelSlot, _ needs: TowerKinds) -> Job.Gate {
        if slot.serves(needs) { return .open }
        return isStopped.withLock { $0 }
            ? .refused(WireFault(.shuttingDown, "the daemon is shutting down")) : .closed
    }

    /// Every model in its first precision, in the order in which they were named.
    package var models: [LoadedModel] { entries.map { $0.slots[0].model } }
    package var defaultModel: LoadedModel { defaultEntry.slots[0].model }

    /// A path may name one of several encoders behind a `#` (`sd_xl_base.safetensors#clip_g`), and
    /// several paths may be joined by `+` (`clip_l.safetensors+clip_g.safetensors`).
    private static func loader(_ source: Source) throws(EncoderError) -> ModelLoader {
        precondition(!source.options.isEmpty, "a model is loaded in one precision at least")
        var parts: [LoadedModel.Part] = []
        for path in CheckpointPath.list(source.path) {
            let contents: CheckpointContents =
                path.file == Source.embeddedPath
                ? try .directory(.embeddedDefault) : try .open(path.file)
            parts.append(
                LoadedModel.Part(contents.following(source.imageProfile), only: path.role))
        }
        return try ModelLoader(name: source.name, parts: parts, options: source.options)
    }

    /// The sides of each precision of a model that serve requests, the default precision first.
    package func open(of model: LoadedModel) -> [(precision: Precision, kinds: TowerKinds)] {
        slots(of: model.name).map { ($0.model.precision, $0.open) }
    }

    /// Every model in every precision, for what looks after all.
    package var slots: [ModelSlot] { entries.flatMap(\.slots) }

    /// The place of a request's model in the precision that it names.
    ///
    /// - Throws: `unknown_model` with the names that exist; `bad_request` with the precisions whose
    ///   weights are loaded.
    package func resolve(
        _ name: String?, precision: Precision?
    ) throws(WireFault) -> ModelSlot {
        let entry = try resolve(name)
        guard let precision else { return entry.slots[0] }
        if let slot = entry.slots.first(where: { $0.model.precision == precision }) { return slot }
        throw .parameter(
            "precision",
            expected: "one whose weights are loaded for \"\(entry.name)\" ("
                + entry.slots.map(\.model.precision.rawValue).joined(separator: ", ") + ")",
            actual: precision.rawValue)
    }

    private func slots(of name: String) -> [ModelSlot] {
        entries.first { $0.name == name }?.slots ?? []
    }

    /// The model of a request; `default` always means the default model.
    private func resolve(_ name: String?) throws(WireFault) -> Entry {
        guard let name else { return defaultEntry }
        if let entry = entries.first(where: { $0.name == name }) { return entry }
        if name == "default" { return defaultEntry }
        throw WireFault(
            .unknownModel,
            "expected one of \(entries.map(\.name).joined(separator: ", ")), "
                + "found \"\(name.prefix(100))\"",
            field: "model")
    }
}
