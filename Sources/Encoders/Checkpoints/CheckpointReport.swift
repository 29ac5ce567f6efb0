package import JSON

/// What a loaded checkpoint turned out to hold: for `guidanced verify` and the daemon's model list.
public struct CheckpointReport: Sendable, Equatable {
    /// One tower: its sizes by name, and how its weights are stored.
    public struct Tower: Sendable, Equatable {
        public let name: String
        /// Sizes and constants by name, as text, in a fixed order.
        public let sizes: [Size]
        /// Numbers in all its tensors.
        public let parameters: Int
        /// Its tensors as they are stored.
        public let tensors: [StoredTensor]
    }

    /// A size or constant of a tower.
    public struct Size: Sendable, Equatable {
        public let name: String
        public let value: String
    }

    /// How many numbers are stored in one type.
    public struct Storage: Sendable, Equatable {
        public let type: StoredType
        public let tensors: Int
        public let parameters: Int
    }

    public let path: String
    public let layout: CheckpointLayout
    public let towers: [Tower]
    /// exp(logit_scale).
    public let logitScale: Float
    public let fingerprint: String
    /// Where the tokenizer came from; `nil` for a model that has none.
    public let tokenizer: String?
    /// Where the preprocessing came from; `nil` for a model without an image tower.
    public let preprocessing: String?
    /// Whose pixels an image comes to; `nil` for a model without an image tower.
    public let imageProfile: ImagePreprocessing.Profile?

    /// Numbers in all tensors, the scale included.
    public var parameters: Int { towers.reduce(0) { $0 + $1.parameters } }

    /// The types that the weights are stored in, the most frequent first.
    public var storage: [Storage] {
        var counts: [StoredType: (tensors: Int, parameters: Int)] = [:]
        for tensor in towers.flatMap(\.tensors) {
            let count = counts[tensor.type] ?? (0, 0)
            counts[tensor.type] = (count.tensors + 1, count.parameters + tensor.elementCount)
        }
        return counts.map {
            Storage(type: $0.key, tensors: $0.value.tensors, parameters: $0.value.parameters)
        }.sorted {
            ($0.parameters, $0.type.rawValue) > ($1.parameters, $1.type.rawValue)
        }
    }

    init(
        _ survey: CheckpointSurvey, path: String, fingerprint: String, tokenizer: String?,
        preprocessing: PreprocessingSource?
    ) {
        var towers: [Tower] = []
        if let text = survey.configuration.text {
            towers.append(Tower("text", text.json, survey.textTensors))
        }
        if let vision = survey.configuration.vision {
            towers.append(Tower("image", vision.json, survey.visionTensors))
        }
        self.path = path
        self.layout = survey.configuration.layout
        self.towers = towers
        self.logitScale = survey.logitScale
        self.fingerprint = fingerprint
        self.tokenizer = tokenizer
        self.preprocessing = preprocessing?.origin
        imageProfile = preprocessing?.preprocessing.profile
    }

    /// The report as a JSON document; the tensors' digests only when they are asked for.
    ///
    /// - Parameter tensors: whether every tensor is listed.
    package func json(tensors: Bool) -> JSONObject {
        JSONObject([
            ("path", .string(path)), ("layout", .string(layout.rawValue)),
            ("fingerprint", .string(fingerprint)), ("parameters", .integer(parameters)),
            ("logit_scale", .number(Double(logitScale))),
            ("tokenizer", tokenizer.map { .string($0) } ?? .null),
            ("preprocessing", preprocessing.map { .string($0) } ?? .null),
            ("image_profile", imageProfile.map { .string($0.rawValue) } ?? .null),
            (
                "storage",
                .array(
                    storage.map {
                        [
                            "type": .string($0.type.rawValue), "tensors": .integer($0.tensors),
                            "parameters": .integer($0.parameters),
                        ]
                    })
            ),
            ("towers", .array(towers.map { .object($0.json(tensors: tensors)) })),
        ])
    }
}

extension CheckpointReport.Tower {
    fileprivate init(_ name: String, _ sizes: JSONObject, _ tensors: [StoredTensor]) {
        self.name = name
        self.sizes = sizes.members.map {
            CheckpointReport.Size(name: $0.key, value: $0.value.stringValue ?? $0.value.text())
        }
        self.parameters = tensors.reduce(0) { $0 + $1.elementCount }
        self.tensors = tensors
    }

    fileprivate func json(tensors included: Bool) -> JSONObject {
        var object = JSONObject([
            ("name", .string(name)), ("parameters", .integer(parameters)),
            ("sizes", .object(JSONObject(sizes.map { ($0.name, .string($0.value)) }))),
        ])
        if included {
            object["tensors"] = .array(
                tensors.map {
                    [
                        "name": .string($0.name), "type": .string($0.type.rawValue),
                        "shape": .array($0.shape.map { .integer($0) }),
                        "xxh3_128": .string($0.digest),
                    ]
                })
        }
        return object
    }
}
