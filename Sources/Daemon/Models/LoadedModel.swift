package import Encoders
package import JSON

/// A model under the name that requests use.
package final class LoadedModel: Sendable {
    package let name: String
    package let model: CLIPModel

    package init(name: String, model: CLIPModel) {
        self.name = name
        self.model = model
    }

    /// The entry of this model in the reply to `models`.
    package var description: JSONObject {
        let configuration = model.configuration
        var object: JSONObject = [
            "name": .string(name), "fingerprint": .string(model.fingerprint),
            "precision": "f32", "logit_scale": .number(Double(model.logitScale)),
        ]
        if let text = configuration.text {
            object["text"] = [
                "embedding_width": .integer(text.embeddingWidth),
                "width": .integer(text.width), "layers": .integer(text.layers),
                "heads": .integer(text.heads), "context_length": .integer(text.contextLength),
                "vocabulary_size": .integer(text.vocabularySize),
            ]
        }
        if let vision = configuration.vision {
            object["vision"] = [
                "embedding_width": .integer(vision.embeddingWidth),
                "width": .integer(vision.width), "layers": .integer(vision.layers),
                "heads": .integer(vision.heads), "image_size": .integer(vision.imageSize),
                "patch_size": .integer(vision.patchSize),
            ]
        }
        return object
    }

    /// One line for the log: what towers it has and how large they are.
    var summary: String {
        var parts: [String] = []
        if let vision = model.configuration.vision {
            parts.append(
                "image \(vision.imageSize) px, patch \(vision.patchSize), "
                    + "\(vision.layers) × \(vision.width)")
        }
        if let text = model.configuration.text {
            parts.append(
                "text \(text.contextLength) tokens, \(text.layers) × \(text.width)")
        }
        return parts.joined(separator: "; ") + "; fingerprint \(model.fingerprint.prefix(12))"
    }
}
