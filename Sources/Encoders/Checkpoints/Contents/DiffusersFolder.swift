import JSON

/// Finds the CLIP towers in the folder of a diffusers pipeline by its `model_index.json`.
enum DiffusersFolder {
    static let indexName = "model_index.json"
    private static let textClasses: Set = ["CLIPTextModel", "CLIPTextModelWithProjection"]
    private static let imageClasses: Set = ["CLIPVisionModel", "CLIPVisionModelWithProjection"]

    /// - Throws: `EncoderError` naming the file or field that is missing or wrong.
    static func contents(_ files: CheckpointFiles) throws(EncoderError) -> CheckpointContents {
        let path = files.path(of: indexName)
        guard let index = try files.json(named: indexName)?.objectValue else {
            throw .malformed(
                path: path, offset: 0, expected: "a JSON object", actual: "something else")
        }
        var towers: [CheckpointTower] = []
        var ignored: [String] = []
        let second = component("text_encoder_2", index)
        for name in ["text_encoder", "text_encoder_2", "text_encoder_3"] {
            guard let kind = component(name, index) else { continue }
            guard textClasses.contains(kind) else {
                ignored.append("\(name) (\(kind))")
                continue
            }
            // SDXL and SD3 pair L with bigG; the refiner has bigG as its second, and only, encoder.
            let tower = try tower(files, name, .clip)
            let isPaired = name == "text_encoder" && second.map(textClasses.contains) == true
            let role = try role(
                of: tower, named: name != "text_encoder" ? .clipG : isPaired ? .clipL : nil)
            guard !towers.contains(where: { $0.role == role }) else {
                throw .configuration(
                    path: path, field: name, expected: "another encoder than the first",
                    actual: "a second \(role.rawValue) by its width")
            }
            let suffix = name.dropFirst("text_encoder".count)
            towers.append(
                CheckpointTower(
                    role: role, configuration: tower.configuration,
                    tokenizerFiles: try files.folder("tokenizer" + suffix),
                    preprocessingFiles: nil, padToken: role == .clipL ? nil : 0,
                    tensors: tower.tensors))
        }
        if let kind = component("image_encoder", index) {
            if imageClasses.contains(kind) {
                let tower = try tower(files, "image_encoder", .imageEncoder)
                var extractor = try files.folder("feature_extractor")
                if extractor == nil { extractor = try files.folder("image_processor") }
                towers.append(
                    CheckpointTower(
                        role: .imageEncoder, configuration: tower.configuration,
                        tokenizerFiles: nil,
                        preprocessingFiles: extractor,
                        padToken: nil, tensors: tower.tensors))
            } else {
                ignored.append("image_encoder (\(kind))")
            }
        }
        guard !towers.isEmpty else {
            throw .configuration(
                path: path, field: "text_encoder",
                expected: "a CLIP encoder among the pipeline's parts",
                actual: ignored.isEmpty ? "none" : ignored.joined(separator: ", "))
        }
        return CheckpointContents(
            path: files.path, format: .diffusers, towers: towers,
            pipeline: index["_class_name"]?.stringValue, ignored: ignored)
    }

    /// The class of a part; `nil` when the pipeline goes without.
    private static func component(_ name: String, _ index: JSONObject) -> String? {
        guard let pair = index[name]?.arrayValue, pair.count == 2 else { return nil }
        return pair[1].stringValue
    }

    private static func tower(
        _ files: CheckpointFiles, _ name: String, _ role: EncoderRole
    ) throws(EncoderError) -> CheckpointTower {
        guard let folder = try files.folder(name) else {
            throw .file(
                path: files.path(of: name), reason: "is missing; \(indexName) says that it is there"
            )
        }
        return try .directory(folder, role: role)
    }

    /// Which encoder of a pipeline a tower is: by its place in the pipeline, as far as its width does not
    /// say otherwise (HunyuanVideo has CLIP-L second); a pipeline's only one by its activation where its
    /// width is nobody's: SD1's has OpenAI's.
    private static func role(
        of tower: CheckpointTower, named: EncoderRole?
    ) throws(EncoderError) -> EncoderRole {
        guard let text = tower.configuration.text else { return named ?? .clip }
        if let family = TowerFamily(width: text.width) { return family.role }
        if let named { return named }
        return text.activation == .gelu ? (text.width > 1_280 ? .clipG : .clipH) : .clipL
    }
}
