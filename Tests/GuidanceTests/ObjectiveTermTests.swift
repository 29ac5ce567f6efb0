import Encoders
import Guidance
import Testing

/// Every loss beside PyTorch's autograd, at its poles, and with what cannot be.
@Suite struct ObjectiveTermTests {
    private static let losses = [
        "cosine", "spherical", "logit", "directional", "contrast", "feature_l2",
    ]

    private func term(_ c: SteeringFixtures.Case) throws -> any ObjectiveTerm {
        let x = c.floats("x")
        let targets = c.rows("targets", width: x.count)
        let weights = c.numbers("weights")
        switch c.text("loss") {
        case "directional":
            return try DirectionalTerm(
                source: c.floats("start"), targets: targets,
                sources: c.rows("sources", width: x.count), weights: weights)
        case "contrast":
            return try ContrastTerm(
                targets: targets, weights: weights,
                negatives: c.rows("negatives", width: x.count), logitScale: SteeringFixtures.scale)
        case "feature_l2": return try FeatureTerm(targets: targets, weights: weights)
        case let name:
            return try PromptObjective(
                loss: try #require(SteeringLoss(rawValue: name)), prompts: targets,
                weights: weights, logitScale: SteeringFixtures.scale)
        }
    }

    @Test func termsEqualAutograd() throws {
        var seen: Set<String> = []
        for c in try SteeringFixtures.cases("term") {
            let name = "\(c.text("loss")), weights \(c.numbers("weights"))"
            let value = try term(c).value(at: c.floats("x"))
            #expect(
                abs(value.loss - c.number("value")) < 2e-6 * max(1, abs(c.number("value"))),
                "\(name)")
            #expect(worst(value.dOutput, c.numbers("gradient")) < 2e-6, "\(name)")
            seen.insert(c.text("loss"))
        }
        #expect(seen == Set(Self.losses))
    }

    @Test func gramEqualsAutograd() throws {
        let c = try SteeringFixtures.cases("gram")[0]
        let width = Int(c.number("width"))
        let term = try GramTerm(
            layer: 2, layers: 3, reference: c.floats("reference"), width: width)
        #expect(term.output == .states(after: 2))
        let value = term.value(at: c.floats("states"))
        #expect(abs(value.loss - c.number("value")) < 2e-6 * c.number("value"))
        #expect(worst(value.dOutput, c.numbers("gradient")) < 2e-6)
        // The class token is no style.
        #expect(value.dOutput[..<width].allSatisfy { $0 == 0 })
    }

    /// Where a loss has no derivative, or an embedding no direction, gradients are finite.
    @Test func polesAreFinite() throws {
        let e: [Float] = [1, 0, 0]
        let f: [Float] = [0, 1, 0]
        let terms: [any ObjectiveTerm] = try [
            DirectionalTerm(source: e, targets: [f], sources: [e], weights: [1]),
            ContrastTerm(targets: [e], weights: [1], negatives: [e, f], logitScale: 100),
            FeatureTerm(targets: [e], weights: [1]),
            PromptObjective(loss: .spherical, prompts: [e], weights: [1], logitScale: 1),
        ]
        for term in terms {
            for x in [e, e.map { -$0 }, [1, 1e-7, 0], [-1, 1e-7, 0], [0, 0, 0]] {
                let value = term.value(at: x)
                #expect(value.loss.isFinite)
                #expect(value.dOutput.allSatisfy { $0.isFinite })
            }
        }
        // At the source the direction's own gradient leads away from it.
        let start = terms[0].value(at: e)
        #expect(start.loss == 1 && start.dOutput[1] < 0)
        // At the target of a distance there is nothing to follow.
        #expect(terms[2].value(at: e) == TermValue(loss: 0, dOutput: [0, 0, 0]))
        let gram = try GramTerm(layer: 1, layers: 1, reference: e + f, width: 3)
        #expect(gram.value(at: f + f) == TermValue(loss: 0, dOutput: e.map { _ in 0 } + [0, 0, 0]))
    }

    @Test func namesWhatCannotBe() throws {
        func field(_ body: () throws -> Void) -> String? {
            do {
                try body()
                return nil
            } catch let error as GuidanceError {
                if case .parameter(let field, _, _) = error { return field }
                return ""
            } catch { return "" }
        }
        let e: [Float] = [1, 0]
        let f: [Float] = [0, 1]
        #expect(field { _ = try FeatureTerm(targets: [e, f], weights: [1, -1]) } == "weights")
        #expect(field { _ = try FeatureTerm(targets: [e], weights: []) } == "weights")
        #expect(
            field {
                _ = try ContrastTerm(targets: [e], weights: [1], negatives: [], logitScale: 1)
            } == "negatives")
        #expect(
            field {
                _ = try DirectionalTerm(source: e, targets: [f, e], sources: [e], weights: [1, 1])
            } == "source_prompts")
        #expect(
            field {
                _ = try DirectionalTerm(source: e, targets: [f], sources: [f], weights: [1])
            } == "source_prompts[0]")
        for layer in [0, 3] {
            #expect(
                field { _ = try GramTerm(layer: layer, layers: 2, reference: e + f, width: 2) }
                    == "layer")
        }
        #expect(field { _ = try GramTerm(layer: 1, layers: 2, reference: e, width: 2) } == "images")
    }
}
