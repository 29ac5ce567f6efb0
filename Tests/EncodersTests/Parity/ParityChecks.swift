import Encoders
import Testing

/// Compares a loaded model with its expected outputs. In fp32: embeddings and hidden states within
/// 2·10⁻⁴ of the largest value and cosine ≥ 0.999999; gradients with cosine ≥ 0.99999 and relative
/// length ≤ 10⁻³; scores within 10⁻⁴. In bf16: cosine ≥ 0.9995, of gradients ≥ 0.995; scores within
/// 5·10⁻³. In int8 embeddings alone: cosine ≥ 0.99.
struct ParityChecks {
    let name: String
    let model: CLIPModel
    let expected: Expected

    private struct Tolerance {
        let cosine, gradientCosine, score: Double
        /// Largest error by the largest value, and relative length of a gradient's error.
        let maximum, gradientLength: Double
    }

    private var tolerance: Tolerance {
        switch model.options.precision {
        case .f32:
            Tolerance(
                cosine: 0.999_999, gradientCosine: 0.99999, score: 1e-4, maximum: 2e-4,
                gradientLength: 1e-3)
        case .bf16:
            Tolerance(
                cosine: 0.9995, gradientCosine: 0.995, score: 5e-3, maximum: .infinity,
                gradientLength: .infinity)
        case .int8:
            Tolerance(
                cosine: 0.99, gradientCosine: 1, score: 2e-2, maximum: .infinity,
                gradientLength: 0)
        }
    }

    init(folder: String, precision: Precision = .f32) throws {
        name =
            (folder.split(separator: "/").last.map(String.init) ?? folder)
            + (precision == .f32 ? "" : " \(precision.rawValue)")
        model = try .load(
            try CheckpointTower.directory(.directory(folder)),
            options: ComputeOptions(precision: precision))
        expected = try Expected(folder: folder)
    }

    func run() throws {
        if model.text != nil { try checkText() }
        if model.image != nil { try checkImage() }
        if model.text != nil && model.image != nil { try checkScores() }
    }

    private func textEmbeddings() throws -> [[Float]] {
        let tower = try #require(model.text)
        let workspace = tower.makeWorkspace()
        return try expected.tokens.map { try tower.embed(tokens: $0, workspace: workspace) }
    }

    private func imageEmbeddings() throws -> [[Float]] {
        let tower = try #require(model.image)
        let workspace = tower.makeWorkspace()
        return try expected.rows("image.pixels").map { try tower.embed($0, workspace: workspace) }
    }

    private func checkText() throws {
        let tower = try #require(model.text)
        try compare("text embeddings", textEmbeddings(), expected.rows("text.embeddings"))
        let workspace = tower.makeWorkspace()
        let paddedEmbeddings = try expected.tokens.map {
            try tower.embed(tokens: expected.padded($0), workspace: workspace)
        }
        #expect(try paddedEmbeddings == textEmbeddings(), "\(name): padding changes embeddings")
        guard model.options.precision != .int8 else { return }
        let states = try expected.tokens.map {
            try tower.hiddenStates(tokens: expected.padded($0), workspace: workspace)
        }
        try compare("text hidden states", states[0].states, expected.rows("text.hidden"))
        try compare("text last states", states.map(\.normalized), expected.rows("text.last"))
    }

    private func checkImage() throws {
        let tower = try #require(model.image)
        let pixels = try expected.rows("image.pixels")
        try compare("image embeddings", imageEmbeddings(), expected.rows("image.embeddings"))
        guard model.options.precision != .int8 else { return }
        let workspace = tower.makeWorkspace()
        try compare(
            "image hidden states", tower.hiddenStates(pixels[0], workspace: workspace),
            expected.rows("image.hidden"))
        let target =
            expected.has("gradient.target")
            ? try expected.values("gradient.target") : try textEmbeddings()[0]
        let result = try tower.gradient(pixels[0], workspace: workspace) { embedding in
            cosineLossGradient(embedding, target)
        }
        let agreement = Agreement(result.dPixels, try expected.values("gradient"))
        print("parity \(name): gradient: \(agreement)")
        #expect(agreement.cosine >= tolerance.gradientCosine, "\(name): gradient \(agreement)")
        #expect(
            agreement.relativeLength <= tolerance.gradientLength,
            "\(name): gradient \(agreement)")
    }

    private func checkScores() throws {
        let texts = try textEmbeddings()
        let cosines = try imageEmbeddings().flatMap { image in texts.map { cosine(image, $0) } }
        try compareScores("cosines", cosines, expected.values("scores.cosine"), tolerance.score)
        // In fp32 logits are within the same bound; below it, within as much for a cosine.
        let scale = model.options.precision == .f32 ? 1 : Double(model.logitScale)
        try compareScores(
            "logits", cosines.map { Double(model.logitScale) * $0 },
            expected.values("scores.logit"), tolerance.score * scale)
    }

    private func compareScores(
        _ what: String, _ observed: [Double], _ wanted: [Float], _ tolerance: Double
    ) throws {
        #expect(observed.count == wanted.count)
        let error = zip(observed, wanted).map { abs($0 - Double($1)) }.max() ?? .infinity
        print("parity \(name): \(what): largest error \(error)")
        #expect(error <= tolerance, "\(name): \(what): \(observed) against \(wanted)")
    }

    private func compare(_ what: String, _ observed: [[Float]], _ wanted: [[Float]]) throws {
        #expect(observed.count == wanted.count, "\(name): \(what)")
        var worst = Agreement()
        for (index, pair) in zip(observed, wanted).enumerated() {
            let agreement = Agreement(pair.0, pair.1)
            worst.take(agreement)
            #expect(
                agreement.relativeMaximum <= tolerance.maximum
                    && agreement.cosine >= tolerance.cosine,
                """
                \(name): \(what) \(index): \(agreement)
                expected \(pair.1.prefix(4))… observed \(pair.0.prefix(4))…
                """)
        }
        print("parity \(name): \(what): \(worst)")
    }
}

private func dot(_ a: [Float], _ b: [Float]) -> Double {
    zip(a, b).reduce(0) { $0 + Double($1.0) * Double($1.1) }
}

func cosine(_ a: [Float], _ b: [Float]) -> Double {
    dot(a, b) / (dot(a, a) * dot(b, b)).squareRoot()
}

/// d(1 − cos(x, y))/dx = (cos·x/‖x‖ − y/‖y‖)/‖x‖.
private func cosineLossGradient(_ x: [Float], _ y: [Float]) -> [Float] {
    let lengthX = dot(x, x).squareRoot()
    let lengthY = dot(y, y).squareRoot()
    let cosine = dot(x, y) / (lengthX * lengthY)
    return zip(x, y).map { x, y in
        Float((cosine * Double(x) / lengthX - Double(y) / lengthY) / lengthX)
    }
}
