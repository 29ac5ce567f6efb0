import Encoders
import JSON
import Testing

@Suite struct CLIPModelTests {
    private func load(_ files: [String: [UInt8]]) throws -> CLIPModel {
        try .load(.memory(files, path: "memory"))
    }

    @Test func theEmbeddedModelIsComplete() throws {
        let model = try CLIPModel.load(.embeddedDefault)
        #expect(model.text != nil)
        #expect(model.image != nil)
        #expect(model.tokenizer?.vocabularySize == model.configuration.text?.vocabularySize)
        #expect(model.text?.embeddingWidth == model.image?.embeddingWidth)
        #expect(model.preprocessing?.height == model.configuration.vision?.imageSize)
        #expect(model.logitScale > 1)
        #expect(model.report.path == "embedded:default")
        #expect(model.report.tokenizer == "tokenizer.json")
        #expect(model.report.preprocessing == "preprocessor_config.json")
    }

    @Test(arguments: CheckpointLoadingTests.fixtures)
    func passesItsSelfCheck(_ name: String) throws {
        let model = try CLIPModel.load(.directory(Fixture.models + "/" + name))
        let checks = try ModelSelfCheck.run(model)
        for check in checks {
            #expect(check.passed, "\(name): \(check.name): \(check.value), \(check.meaning)")
        }
        #expect(checks.count == (model.image == nil ? 0 : 6) + (model.text == nil ? 0 : 4))
    }

    @Test func theEmbeddedModelPassesItsSelfCheck() throws {
        for check in try ModelSelfCheck.run(.load(.embeddedDefault)) {
            print("self-check: \(check.name): \(check.value) of \(check.limit), \(check.meaning)")
            #expect(check.passed, "\(check.name): \(check.value), \(check.meaning)")
        }
    }

    // MARK: fingerprint

    @Test func theFingerprintIsStable() throws {
        let files = try Fixture.files("transformers-patch7")
        #expect(try load(files).fingerprint == load(files).fingerprint)
        #expect(try load(files).fingerprint.utf8.count == 32)
    }

    @Test func theFingerprintChangesWithOneBitOfAWeight() throws {
        var files = try Fixture.files("transformers-patch7")
        let before = try load(files).fingerprint
        var weights = try #require(files["model.safetensors"])
        weights[weights.count - 4] ^= 1
        files["model.safetensors"] = weights
        #expect(try load(files).fingerprint != before)
    }

    @Test func theFingerprintChangesWithAConstantOfTheConfiguration() throws {
        var files = try Fixture.files("transformers-patch7")
        let before = try load(files).fingerprint
        let text = String(decoding: try #require(files["config.json"]), as: UTF8.self)
        files["config.json"] = Array(
            text.split(separator: "\n").map {
                $0.contains("layer_norm_eps") ? "\"layer_norm_eps\": 1e-6," : String($0)
            }.joined(separator: "\n").utf8)
        #expect(try load(files).fingerprint != before)
    }

    @Test func theFingerprintDoesNotChangeWithWhatNothingReads() throws {
        var files = try Fixture.files("transformers-patch7")
        let before = try load(files).fingerprint
        files["README.md"] = [1, 2, 3]
        let text = String(decoding: try #require(files["config.json"]), as: UTF8.self)
        files["config.json"] = Array(
            text.split(separator: "\n").filter { !$0.contains("transformers_version") }
                .joined(separator: "\n").utf8)
        #expect(try load(files).fingerprint == before)
    }

    // MARK: report

    @Test func theReportListsTowersAndStorage() throws {
        let report = try load(try Fixture.files("transformers-gelu-f16")).report
        #expect(report.towers.map(\.name) == ["text", "image"])
        #expect(report.storage.map(\.type) == [.f16])
        #expect(report.tokenizer == nil)
        #expect(report.preprocessing == "CLIP's, for 40 pixels")
        let image = try #require(report.towers.last)
        #expect(image.sizes.contains { $0.name == "activation" && $0.value == "gelu" })
        // Patches, class, positions, two norms, projection; four norms, four products a layer.
        let layer = 4 * 52 + 4 * (52 * 52 + 52) + 2 * 52 * 100 + 52 + 100
        #expect(image.parameters == 52 * 3 * 64 + 52 + 26 * 52 + 4 * 52 + 28 * 52 + 2 * layer)
        #expect(report.parameters == report.storage.reduce(0) { $0 + $1.parameters })
        let document = JSONValue.object(report.json(tensors: true))
        #expect(document["towers"]?.arrayValue?.count == 2)
        #expect(document["fingerprint"]?.stringValue == report.fingerprint)
    }

    // MARK: tokenizer and preprocessing

    @Test func aPreprocessingOfAnotherSizeIsAnError() throws {
        var files = try Fixture.files("transformers-patch7")
        files["preprocessor_config.json"] = Array(
            "{\"size\":{\"shortest_edge\":64},\"crop_size\":{\"height\":64,\"width\":64}}".utf8)
        let error = #expect(throws: EncoderError.self) { try load(files) }
        guard case .configuration("memory/preprocessor_config.json", "crop_size", _, _) = error
        else {
            Issue.record("\(String(describing: error))")
            return
        }
    }

    @Test func aTokenizerWithMoreTokensThanTheTowerIsAnError() throws {
        var files = try Fixture.files("transformers-patch7")
        let embedded = CheckpointFiles.embeddedDefault
        files["tokenizer.json"] = try embedded.bytes(named: "tokenizer.json")?.array()
        let error = #expect(throws: EncoderError.self) { try load(files) }
        guard case .configuration("memory/tokenizer.json", "vocab", _, let actual) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(actual == "3000")
    }
}
