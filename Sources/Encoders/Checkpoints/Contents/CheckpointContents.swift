import Glibc

/// What is in a checkpoint, whatever its form: one or several encoders, opened and checked by their
/// configuration and shapes; their weights are read when they are asked for.
public struct CheckpointContents: Sendable {
    public let path: String
    public let format: CheckpointFormat
    /// At least one, each role once.
    public private(set) var towers: [CheckpointTower]
    /// The pipeline's class in a diffusers folder.
    public let pipeline: String?
    /// Encoders of a pipeline that are no CLIP towers (SD3's and FLUX's T5).
    public let ignored: [String]

    init(
        path: String, format: CheckpointFormat, towers: [CheckpointTower],
        pipeline: String? = nil, ignored: [String] = []
    ) {
        self.path = path
        self.format = format
        self.towers = towers
        self.pipeline = pipeline
        self.ignored = ignored
    }

    /// The same encoders with an image preprocessing other than the checkpoint's own; `nil` leaves that.
    package func following(_ profile: ImagePreprocessing.Profile?) -> CheckpointContents {
        var result = self
        for index in towers.indices { result.towers[index].imageProfile = profile }
        return result
    }

    /// The encoder in a role; `nil` when there is none.
    public func tower(_ role: EncoderRole) -> CheckpointTower? {
        towers.first { $0.role == role }
    }

    /// Opens a directory (transformers, open_clip, diffusers) or a single file (safetensors,
    /// torch's pickles or GGUF: whole pipelines, lone encoders, OpenAI's models).
    ///
    /// A file that is one of a directory's weights under its usual name, with the configuration beside
    /// it, is read with that configuration.
    ///
    /// - Throws: `EncoderError` naming what is missing, damaged or not known.
    public static func open(_ path: String) throws(EncoderError) -> CheckpointContents {
        guard isFile(path) else { return try directory(.directory(path)) }
        let source = try TensorFile.open(try MappedBytes.map(path: path), path: path)
        if let tower = try beside(path, source) {
            return CheckpointContents(
                path: path,
                format: tower.configuration.layout == .openCLIP ? .openCLIP : .transformers,
                towers: [tower])
        }
        return try tensors(source)
    }

    /// One encoder of what is at a path.
    ///
    /// - Parameter path: as for `open`; of several encoders one is named behind a `#`
    ///   (`sd_xl_base.safetensors#clip_g`).
    /// - Throws: as `open`; `EncoderError.unsupported` with the roles to choose from when there are
    ///   several and none is named, or there is none of this name.
    public static func tower(at path: String) throws(EncoderError) -> CheckpointTower {
        let place = CheckpointPath(path)
        let file = place.file
        let contents = try open(file)
        let roles = contents.towers.map(\.role.rawValue).joined(separator: ", ")
        if let role = place.role {
            if let tower = contents.tower(role) { return tower }
            throw .unsupported(
                what: "the encoder of \(file)", expected: "one of \(roles)",
                actual: role.rawValue)
        }
        guard contents.towers.count == 1, let tower = contents.towers.first else {
            let first = contents.towers.first?.role.rawValue ?? ""
            throw .unsupported(
                what: "the encoder of \(file)",
                expected: "one of \(roles), named as \(file)#\(first)",
                actual: "\(contents.towers.count) encoders and none named")
        }
        return tower
    }

    /// The encoders in a directory.
    ///
    /// - Throws: `EncoderError` naming what is missing, damaged or not known.
    public static func directory(
        _ files: CheckpointFiles
    ) throws(EncoderError) -> CheckpointContents {
        if try files.bytes(named: DiffusersFolder.indexName) != nil {
            return try DiffusersFolder.contents(files)
        }
        let tower = try CheckpointTower.directory(files)
        return CheckpointContents(
            path: files.path,
            format: tower.configuration.layout == .openCLIP ? .openCLIP : .transformers,
            towers: [tower])
    }

    /// The encoders in the bytes of one file, for tests and tools.
    ///
    /// - Throws: `EncoderError` naming what is damaged or not known.
    package static func file(
        _ bytes: MappedBytes, path: String
    ) throws(EncoderError) -> CheckpointContents {
        try tensors(TensorFile.open(bytes, path: path))
    }

    /// The encoders among the tensors of a source, for tests and tools.
    ///
    /// - Throws: `EncoderError.unsupported` when there is none, or one needs a configuration.
    package static func tensors(
        _ source: any TensorSource
    ) throws(EncoderError) -> CheckpointContents {
        if let file = source as? GGUFFile { return try GGUFContents.contents(file) }
        return try SingleFile.contents(source)
    }

    static func isFile(_ path: String) -> Bool {
        var status = stat()
        return !path.utf8.contains(0) && stat(path.nativePath, &status) == 0
            && status.st_mode & S_IFMT == S_IFREG
    }

    /// The model that a file is the weights of, when its configuration is in the same directory.
    private static func beside(
        _ path: String, _ source: any TensorSource
    ) throws(EncoderError) -> CheckpointTower? {
        let slash = path.lastIndex(of: "/")
        let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        let folder = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        for layout in [CheckpointLayout.transformers, .openCLIP]
        where layout.weightNames.contains(name) {
            let files = try CheckpointFiles.directory(folder)
            guard try files.bytes(named: layout.configurationName) != nil else { continue }
            return try .directory(files, layout: layout, tensors: source)
        }
        return nil
    }
}

extension CheckpointContents {
    /// What the encoders can be used for together, in a fixed order.
    ///
    /// SD3 needs both projections, which SDXL's files do not have; FLUX and SD1 need L alone. Where one
    /// encoder is enough, a lone CLIP stands for it, as it does for the recipes.
    public var uses: [CheckpointUse] {
        let both = tower(.clip)?.configuration
        let l = tower(.clipL)?.configuration.text
        let h = tower(.clipH)?.configuration.text
        let g = tower(.clipG)?.configuration.text
        let image = tower(.imageEncoder)?.configuration.vision ?? both?.vision
        return CheckpointUse.allCases.filter { use in
            switch use {
            case .embedding: both != nil
            case .gradient: both?.text != nil && both?.vision != nil
            case .sd1, .fluxCLIP: (l ?? both?.text) != nil
            case .sd2: (h ?? both?.text) != nil
            case .sdxl: l != nil && g?.projection != nil
            case .sdxlRefiner: (g ?? both?.text)?.projection != nil
            case .sd3CLIP: l?.projection != nil && g?.projection != nil
            case .unCLIP: image?.projection != nil
            case .ipAdapter: image != nil
            }
        }
    }
}
