import Daemon
import Encoders
import IPC
import JSON
import Serving
import System
import Testing

/// What is answered while some towers are there and others are not.
@Suite struct LoadingTests {
    typealias F = LoadingFixture

    private static let texts: JSONObject = ["texts": ["a red circle"]]

    @Test(arguments: [
        ("tokenize", texts), ("embed_text", texts),
        ("prepare", ["prompts": ["a red circle"]] as JSONObject),
        ("prepare", ["labels": ["red", "blue"]] as JSONObject),
        ("prepare", ["prompts": ["a red circle"], "recipe": "sd1"] as JSONObject),
        ("condition", ["prompts": ["a red circle"], "recipe": "sd1"] as JSONObject),
    ])
    func whatNeedsTextsAloneIsAnsweredBeforeTheImageTowerIsMade(
        op: String, params: JSONObject
    ) throws {
        let path = PipelineFixture.folder + "/sd1"
        let source =
            params["recipe"] == nil
            ? ModelRegistry.Source.embedded : ModelRegistry.Source(name: "sd1", path: path)
        let fixture = try F([source])
        #expect(fixture.wait(for: 1).map(\.kind) == [.text])
        let early = fixture.call(op, params)
        #expect(early.error == nil)
        #expect(try fixture.entry(source.name)["ready"]?["f32"] == ["text"])
        #expect(try fixture.finish())
        #expect(try fixture.entry(source.name)["ready"]?["f32"] == ["text", "vision"])
        let late = fixture.call(op, params)
        #expect(late.outputs.map(\.frame.array) == early.outputs.map(\.frame.array))
        #expect(late.fingerprint == early.fingerprint)
        fixture.engine.stop()
    }

    @Test(arguments: [
        ("embed_image", [:] as JSONObject), ("score", ["prompts": ["a red circle"]] as JSONObject),
        ("rank", ["prompt": "a red circle"] as JSONObject),
        ("classify", ["labels": ["red", "blue"]] as JSONObject),
        ("gradient", ["prompts": ["a red circle"]] as JSONObject),
        ("condition_image", [:] as JSONObject),
    ])
    func whatNeedsImagesWaitsForTheImageTowerAndIsThenAnswered(
        op: String, params: JSONObject
    ) throws {
        let fixture = try F([.embedded])
        _ = fixture.wait(for: 1)
        let picture = try F.picture.get()
        let waiting = fixture.send(op, params, [picture])
        // Two answers to others that came later: it has been passed over, not merely not begun.
        for _ in 0..<2 { #expect(fixture.call("embed_text", LoadingTests.texts).error == nil) }
        #expect(waiting.read { $0 == nil })
        #expect(fixture.engine.scheduler.statistics.waiting == 1)
        #expect(try fixture.finish())
        let reply = waiting.wait { $0 }
        #expect(reply.error == nil && reply.items.isEmpty)
        let again = fixture.call(op, params, [picture])
        #expect(again.outputs.map(\.frame.array) == reply.outputs.map(\.frame.array))
        fixture.engine.stop()
    }

    @Test func theDaemonIsReadyWhenAllIsThereAndNotBefore() throws {
        let fixture = try F([.embedded])
        _ = fixture.wait(for: 1)
        let early = fixture.call("health").result
        #expect(early["live"] == true && early["ready"] == false)
        #expect(early["loading"] == ["default"] && early["canary_error"] == .null)
        #expect(try fixture.finish())
        let late = fixture.call("health").result
        #expect(late["ready"] == true && late["loading"] == [])
        fixture.engine.stop()
    }

    @Test func whatAModelIsIsKnownBeforeItsTowersAreMade() throws {
        let folder = PipelineFixture.folder
        let sources = ["sd1", "sdxl"].map {
            ModelRegistry.Source(name: $0, path: folder + "/" + $0)
        }
        let fixture = try F([.embedded] + sources)
        _ = fixture.wait(for: 1)
        let names = ["default", "sd1", "sdxl"]
        let early = try names.map(fixture.entry)
        #expect(early.map { $0["ready"]?["f32"] } == [["text"], [], []])
        #expect(try fixture.finish())
        for (name, entry) in zip(names, early) {
            var (before, after) = (
                try #require(entry.objectValue), try #require(fixture.entry(name).objectValue)
            )
            // What is there of its towers, and of the weights for gradients, is not.
            for key in ["ready", "gradients"] {
                before[key] = nil
                after[key] = nil
            }
            #expect(before == after, "\(name)")
        }
        fixture.engine.stop()
    }

    @Test func towersArriveTextsFirstInEveryPrecisionAndModelByModel() throws {
        let options = [Precision.f32, .bf16].map { ComputeOptions(precision: $0) }
        let fixture = try F([
            ModelRegistry.Source(
                name: "a", path: ModelRegistry.Source.embeddedPath, options: options),
            ModelRegistry.Source(name: "b", path: PipelineFixture.folder + "/sdxl"),
        ])
        #expect(try fixture.finish())
        #expect(
            fixture.wait(for: 5) == [
                F.Step(model: "a", precision: .f32, kind: .text),
                F.Step(model: "a", precision: .bf16, kind: .text),
                F.Step(model: "a", precision: .f32, kind: .image),
                F.Step(model: "a", precision: .bf16, kind: .image),
                F.Step(model: "b", precision: .f32, kind: .text),
            ])
        fixture.engine.stop()
    }

    @Test func aRequestForTheSecondPrecisionWaitsWhileTheFirstServes() throws {
        let options = [Precision.f32, .bf16].map { ComputeOptions(precision: $0) }
        let fixture = try F([
            ModelRegistry.Source(
                name: "a", path: ModelRegistry.Source.embeddedPath, options: options)
        ])
        _ = fixture.wait(for: 1)
        var params = LoadingTests.texts
        params["precision"] = "bf16"
        let waiting = fixture.send("embed_text", params)
        #expect(fixture.call("embed_text", LoadingTests.texts).result["precision"] == "f32")
        #expect(waiting.read { $0 == nil })
        fixture.goOn()
        #expect(waiting.wait { $0 }.result["precision"] == "bf16")
        #expect(try fixture.finish())
        fixture.engine.stop()
    }

    @Test func loadingTheSecondModelDoesNotDisturbTheFirst() throws {
        let fixture = try F([
            .embedded, ModelRegistry.Source(name: "b", path: ModelRegistry.Source.embeddedPath),
        ])
        for _ in 0..<2 { fixture.goOn() }
        #expect(fixture.wait(for: 3).last == F.Step(model: "b", precision: .f32, kind: .text))
        let picture = try F.picture.get()
        let prompts: JSONObject = ["prompts": ["a red circle"]]
        let waiting = fixture.send("score", prompts, [picture], model: "b")
        let first = fixture.call("score", prompts, [picture])
        #expect(first.error == nil)
        #expect(waiting.read { $0 == nil })
        #expect(fixture.call("health").result["loading"] == ["b"])
        #expect(try fixture.finish())
        #expect(
            waiting.wait { $0 }.outputs.map(\.frame.array) == first.outputs.map(\.frame.array))
        fixture.engine.stop()
    }

    @Test func wrongRequestsAreRefusedAtOnceAlsoWhileTheirTowerIsMissing() throws {
        let fixture = try F([.embedded])
        _ = fixture.wait(for: 1)
        #expect(fixture.call("embed_image", model: "none").error?.code == .unknownModel)
        #expect(
            fixture.call("embed_image", ["precision": "bf16"]).error?.field == "params.precision")
        #expect(fixture.call("dance").error?.code == .unknownOp)
        #expect(try fixture.finish())
        fixture.engine.stop()
    }

    @Test func aWaitingRequestEndsWithItsDeadlineAndTheQueueIsBounded() throws {
        let fixture = try F([.embedded], requests: 2)
        _ = fixture.wait(for: 1)
        let picture = try F.picture.get()
        let late = fixture.send("embed_image", [:], [picture], deadlineMilliseconds: 60_000)
        let kept = fixture.send("embed_image", [:], [picture])
        let refused = fixture.call("embed_image", [:], [picture])
        #expect(refused.error?.code == .overloaded)
        #expect((refused.error?.retryAfterMilliseconds ?? 0) > 0)
        fixture.engine.scheduler.expireDeadlines(now: monotonicNow() + 61_000_000_000)
        #expect(late.wait { $0 }.error?.code == .deadlineExceeded)
        #expect(kept.read { $0 == nil })
        #expect(try fixture.finish())
        #expect(kept.wait { $0 }.error == nil)
        fixture.engine.stop()
    }

    @Test func stoppingWhileLoadingRefusesWhatWaitsAndMakesNoFurtherTower() throws {
        let fixture = try F([.embedded])
        _ = fixture.wait(for: 1)
        let picture = try F.picture.get()
        let waiting = fixture.send("embed_image", [:], [picture])
        fixture.engine.stopLoading()
        #expect(waiting.wait { $0 }.error?.code == .shuttingDown)
        #expect(
            fixture.call("embed_image", [:], [picture]).error?.code == .shuttingDown)
        #expect(fixture.call("embed_text", LoadingTests.texts).error == nil)
        #expect(try fixture.finish() == false)
        #expect(fixture.engine.registry.defaultModel.model.image == nil)
        #expect(fixture.call("health").result["ready"] == false)
        fixture.engine.stop()
    }

    @Test func aSecondTowerThatCannotBeMadeIsNamedWhileTheFirstServes() throws {
        let tensor = "vision_model.post_layernorm.weight"
        let folder = try F.damaged(tensor)
        let fixture = try F([ModelRegistry.Source(name: "m", path: folder.path)])
        #expect(fixture.wait(for: 1).map(\.kind) == [.text])
        let waiting = fixture.send("embed_image", [:], [try F.picture.get()])
        let error = #expect(throws: EncoderError.self) { try fixture.finish() }
        guard case .tensor(_, tensor, "finite values", _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(fixture.call("embed_text", LoadingTests.texts).error == nil)
        #expect(waiting.read { $0 == nil })
        fixture.engine.stop()
        #expect(waiting.wait { $0 }.error?.code == .shuttingDown)
    }

    @Test func aFirstTowerThatCannotBeMadeIsNamedAndNothingServes() throws {
        let tensor = "text_model.final_layer_norm.weight"
        let folder = try F.damaged(tensor)
        let fixture = try F([ModelRegistry.Source(name: "m", path: folder.path)])
        let error = #expect(throws: EncoderError.self) { try fixture.finish() }
        guard case .tensor(_, tensor, _, _)? = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(try fixture.entry("m")["ready"]?["f32"] == [])
        fixture.engine.stop()
    }

    @Test func aPlusInTheNameOfAFileSeparatesNothingAlsoBeforeARole() throws {
        let folder = try TemporaryFolder()
        let encoder = try PipelineFixture.read(
            PipelineFixture.folder + "/sd1/text_encoder/model.safetensors")
        for name in ["a+b.safetensors", "c.safetensors", "d#clip_l"] {
            try folder.write(name, encoder)
        }
        let path = folder.path
        #expect(
            CheckpointPath.list("\(path)/a+b.safetensors#clip_l") == [
                CheckpointPath("\(path)/a+b.safetensors#clip_l")
            ])
        let both = CheckpointPath.list(
            "\(path)/c.safetensors#clip_g+\(path)/a+b.safetensors#clip_l")
        #expect(both.map(\.file) == ["\(path)/c.safetensors", "\(path)/a+b.safetensors"])
        #expect(both.map(\.role) == [.clipG, .clipL])
        // A file that is called like that is meant itself; what does not exist is named piece by piece.
        #expect(CheckpointPath("\(path)/d#clip_l").role == nil)
        #expect(CheckpointPath.list("x+y").map(\.file) == ["x", "y"])
    }
}
