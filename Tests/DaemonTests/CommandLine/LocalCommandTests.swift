import ArgumentParser
import Daemon
import Encoders
import IPC
import JSON
import Serving
import Testing

/// Commands on the built-in model, in this process.
@Suite struct LocalCommandTests {
    private let folder: TemporaryFolder
    private let memory = MemoryConsole()
    private let session: LocalSession
    private let red: String
    private let blue: String

    init() throws {
        folder = try TemporaryFolder()
        session = LocalSession(engine: try EngineFixture().engine)
        red = try folder.write(
            "red.png", try EngineFixture.disc([220, 30, 40], on: [255, 255, 255]))
        blue = try folder.write(
            "blue.png", try EngineFixture.disc([30, 60, 200], on: [255, 255, 255]))
    }

    @Test func rankPutsTheRightImageFirst() throws {
        let command = try parse(
            "rank", blue, red, "--prompt", "a red circle", "--format", "csv",
            as: RankCommand.self)
        #expect(try command.execute(session, memory.console) == .success)
        let rows = memory.output.text.split(separator: "\n")
        try #require(rows.count == 3)
        #expect(rows[1].hasPrefix("1,\(red),") && rows[2].hasPrefix("2,\(blue),"))
    }

    @Test func smallRequestsScoreLikeOneLargeOne() throws {
        /// The same engine, asked for one image at a time.
        struct Narrow: Session {
            let inner: LocalSession
            var batchSize: Int { 1 }
            func call(
                op: String, model: String?, params: JSONObject, inputs: [Input]
            ) throws -> Reply {
                try inner.call(op: op, model: model, params: params, inputs: inputs)
            }
        }
        let command = try parse(
            "score", red, blue, red, "--prompt", "a red circle", "--prompt", "a dog",
            "--format", "json", as: ScoreCommand.self)
        #expect(try command.execute(session, memory.console) == .success)
        let narrow = MemoryConsole()
        #expect(try command.execute(Narrow(inner: session), narrow.console) == .success)
        #expect(narrow.output.text == memory.output.text)
    }

    @Test func aFolderIsScoredRankedClassifiedAndEmbedded() throws {
        let pictures = try TemporaryFolder()
        for (name, path) in [("2.png", red), ("1.png", blue)] {
            _ = try pictures.write(name, try InputFile.read(path, limit: 1 << 20))
        }
        _ = try pictures.write("3.jpg", [0xFF, 0xD8, 0xFF, 0xE0, 0, 16])
        let paths = ["1.png", "2.png", "3.jpg"].map { pictures.path + "/" + $0 }
        func run<Command: SessionCommand>(
            _ kind: Command.Type, _ arguments: String...
        ) throws -> JSONValue {
            let console = MemoryConsole()
            let command = try #require(
                try Guidanced.parseAsRoot(arguments + ["--format", "json"]) as? Command)
            #expect(try command.execute(session, console.console) == .someItemsFailed)
            #expect(
                console.errors.text.contains("3.jpg: image: expected a PNG file, found a JPEG file")
            )
            return try JSONValue.parse(console.output.text)
        }
        let scores = try run(ScoreCommand.self, "score", pictures.path, "-p", "a red circle")
        #expect(scores["images"]?.arrayValue?.map { $0["path"]?.stringValue } == paths)
        let ranking = try run(RankCommand.self, "rank", pictures.path, "-p", "a red circle")
        #expect(ranking["ranking"]?.arrayValue?.first?["path"]?.stringValue == paths[1])
        #expect(ranking["failed"]?.arrayValue?.first?["path"]?.stringValue == paths[2])
        let classes = try run(
            ClassifyCommand.self, "classify", pictures.path, "--labels", "red circle,blue square")
        #expect(classes["images"]?.arrayValue?.map { $0["path"]?.stringValue } == paths)
        let embeddings = try run(
            EmbedCommand.self, "embed", "--text", "a", "--image", pictures.path)
        #expect(
            embeddings["embeddings"]?.arrayValue?.map { $0["image"]?.stringValue }
                == [nil] + paths)
    }

    @Test func gradientWritesAnArrayAndAPicture() throws {
        let out = folder.path + "/g.npy"
        let heat = folder.path + "/h.png"
        let command = try parse(
            "gradient", red, "--prompt", "a blue circle", "--out", out, "--heatmap", heat,
            "--format", "json", as: GradientCommand.self)
        #expect(try command.execute(session, memory.console) == .success)
        let bytes = try InputFile.read(out, limit: 1 << 20)
        #expect(bytes.count == 128 + 4 * 3 * 64 * 64)
        let picture = try PNGDecoder.decode(
            try InputFile.read(heat, limit: 1 << 20), limits: ImageLimits())
        #expect(picture.width == 64 && picture.height == 64)
        let document = try JSONValue.parse(memory.output.text)
        #expect(document["shape"] == [3, 64, 64])
        let loss = try #require(document["loss"]?.doubleValue)
        let score = try #require(document["score"]?.doubleValue)
        #expect(abs(loss + score - 1) < 1e-5)
        #expect(try #require(document["gradient_norm"]?.doubleValue) > 0)
    }

    @Test func theBuiltInModelPassesEveryCheckOfTheEngine() throws {
        let registry = try EngineFixture.registry.get()
        let checks = EngineCheck.run(registry, threads: 3)
        #expect(checks.count == 4)
        #expect(checks.allSatisfy { $0.passed }, "\(checks)")
        let report = VerificationReport(
            report: registry.defaultModel.model.report, checks: checks)
        let text = report.text(tensors: true)
        for word in [
            "text tower", "image tower (vision)", "batch invariance", "all 4 checks passed",
        ] {
            #expect(text.contains(word))
        }
        #expect(report.json(tensors: false)["passed"] == true)
    }

    @Test func aFailedCheckIsShown() throws {
        let registry = try EngineFixture.registry.get()
        let report = VerificationReport(
            report: registry.defaultModel.model.report,
            checks: [
                VerificationCheck(name: "a", value: .nan, limit: 1, meaning: "x"),
                VerificationCheck(name: "b", value: 1, limit: 1, meaning: "y"),
            ])
        #expect(report.text(tensors: false).contains("FAIL    a"))
        #expect(report.text(tensors: false).contains("1 failed"))
        #expect(report.json(tensors: false)["passed"] == false)
    }
}
