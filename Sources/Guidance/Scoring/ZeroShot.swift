import Glibc

/// Zero-shot classification: which of some labels a picture shows.
public struct ZeroShot: Sendable {
    /// The templates that are used when a request names none.
    public static let defaultTemplates = ["a photo of a {}."]

    public let labels: [String]
    /// Each has exactly one `{}`, where the label goes.
    public let templates: [String]

    /// - Throws: `GuidanceError.parameter` for no labels, no templates, or a template without
    ///   exactly one `{}`.
    public init(
        labels: [String], templates: [String] = ZeroShot.defaultTemplates
    ) throws(GuidanceError) {
        if labels.isEmpty {
            throw .parameter(field: "labels", expected: "at least one label", actual: "none")
        }
        if templates.isEmpty {
            throw .parameter(field: "templates", expected: "at least one template", actual: "none")
        }
        for (index, template) in templates.enumerated() {
            let places = ZeroShot.split(template).count - 1
            if places != 1 {
                throw .parameter(
                    field: "templates[\(index)]", expected: "exactly one {} for the label",
                    actual: "\(places) in \"\(template.prefix(80))\"")
            }
        }
        self.labels = labels
        self.templates = templates
    }

    /// Every text to encode, the templates of the first label first: [L · templates].
    public var texts: [String] {
        labels.flatMap { label in
            templates.map { ZeroShot.split($0).joined(separator: label) }
        }
    }

    /// The unit class vectors [L][D] from the embeddings of `texts`, in that order: the mean over
    /// a label's templates of the unit text embeddings, renormalised.
    ///
    /// - Throws: `GuidanceError.parameter` naming the first label whose templates cancel.
    public func classVectors(_ embeddings: [[Float]]) throws(GuidanceError) -> [[Float]] {
        precondition(embeddings.count == labels.count * templates.count)
        var vectors: [[Float]] = []
        vectors.reserveCapacity(labels.count)
        for label in labels.indices {
            let first = label * templates.count
            let own = Array(embeddings[first..<first + templates.count])
            guard let mean = Embedding.normalizedMean(own) else {
                throw .parameter(
                    field: "labels[\(label)]",
                    expected: "templates whose embeddings have a mean with a direction",
                    actual: "\(own.count) that cancel to length 0")
            }
            vectors.append(mean)
        }
        return vectors
    }

    /// softmax(logitScale · cosine) over the labels for one image: [L], summing to 1.
    public static func probabilities(
        image: [Float], classVectors: [[Float]], logitScale: Float
    ) -> [Float] {
        let logits = classVectors.map { Double(logitScale) * Embedding.cosine(image, $0) }
        let top = logits.max() ?? 0
        let weights = logits.map { exp($0 - top) }
        let total = weights.reduce(0, +)
        return weights.map { Float($0 / total) }
    }

    /// The pieces of a template around each `{}`.
    private static func split(_ template: String) -> [String] {
        var pieces = [""]
        var rest = template[...]
        while let character = rest.first {
            if rest.hasPrefix("{}") {
                pieces.append("")
                rest = rest.dropFirst(2)
            } else {
                pieces[pieces.count - 1].append(character)
                rest = rest.dropFirst()
            }
        }
        return pieces
    }
}
