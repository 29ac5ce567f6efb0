import Daemon
import IPC
import JSON
import Testing

/// Commands against scripted sessions: what they ask, and what they make of the answers.
@Suite struct CommandTests {
    private let folder: TemporaryFolder
    private let memory = MemoryConsole()

    init() throws { folder = try TemporaryFolder() }

    /// Files whose only byte is their number.
    private func files(_ count: Int) throws -> [String] {
        try (0..<count).map { try folder.write("\($0).png", [UInt8($0)]) }
    }

    /// Answers `score` with the byte of each file, times the prompt's number; byte 13 is bad.
    private func scores(_ call: ScriptedSession.Call) throws -> Reply {
        switch call.op {
        case "prepare": return .scripted(result: ["handle": "h1"], warnings: ["prompt cut"])
        case "release": return .scripted()
        default:
            let prompts = call.params["prompts"]?.arrayValue?.count ?? 2
            let values = call.inputs.flatMap { input in
                (0..<prompts).map { Float(input.frame.array.first ?? 0) * Float($0 + 1) / 4 }
            }
            let items = call.inputs.enumerated().filter { $0.element.frame.array == [13] }.map {
                ItemFault(index: $0.offset, error: WireFault(.badImage, "image: not a PNG"))
            }
            return .scripted(
                outputs: [
                    Output(
                        name: "scores", shape: [call.inputs.count, prompts], values: values)
                ], items: items, warnings: ["note"])
        }
    }

    @Test func scoreSendsFilesAndPrintsATable() throws {
        let files = try files(3)
        let session = ScriptedSession(answer: scores)
        let command = try parse(
            ["score"] + files + ["--prompt", "a", "--prompt", "b", "--metric", "logit"],
            as: ScoreCommand.self)
        #expect(try command.execute(session, memory.console) == .success)
        try #require(session.calls.count == 1)
        let call = session.calls[0]
        #expect(call.op == "score" && call.model == nil)
        #expect(call.params["prompts"] == ["a", "b"])
        #expect(call.params["metric"] == "logit")
        #expect(call.inputs.map(\.frame.array) == [[0], [1], [2]])
        #expect(call.inputs.allSatisfy { $0.header.datatype == .bytes })
        let lines = memory.output.text.split(separator: "\n").map(String.init)
        try #require(lines.count == 5)
        #expect(lines[3].hasPrefix(files[1]) && lines[3].hasSuffix("0.25  0.50"))
        #expect(memory.errors.text == "guidanced: warning: note\n")
    }

    @Test func manyImagesGoInChunksWithPreparedPrompts() throws {
        let files = try files(10)
        let session = ScriptedSession(batchSize: 4, answer: scores)
        let command = try parse(
            ["score"] + files + ["--prompt", "a", "--prompt", "b", "--format", "csv"],
            as: ScoreCommand.self)
        #expect(try command.execute(session, memory.console) == .success)
        #expect(session.calls.map(\.op) == ["prepare", "score", "score", "score", "release"])
        #expect(session.calls.map(\.inputs.count) == [0, 4, 4, 2, 0])
        #expect(session.calls[0].params["prompts"] == ["a", "b"])
        #expect(session.calls[0].params["metric"] == "cosine")
        for call in session.calls[1...3] {
            #expect(call.params["handle"] == "h1")
            #expect(call.params["prompts"] == nil)
        }
        #expect(session.calls[4].params["handle"] == "h1")
        let rows = memory.output.text.split(separator: "\n")
        #expect(rows.count == 11 && rows[0] == "image,a,b")
        #expect(rows[10] == "\(files[9]),2.25,4.5")
        #expect(memory.errors.text.split(separator: "\n").count == 2, "each warning once")
    }

    @Test func aForgottenHandleIsPreparedAgain() throws {
        let files = try files(3)
        var hasForgotten = false
        let session = ScriptedSession(batchSize: 1) { call in
            if call.op == "score", !hasForgotten {
                hasForgotten = true
                throw WireFault(.badRequest, "gone", field: "params.handle")
            }
            return try self.scores(call)
        }
        let command = try parse(
            ["score"] + files + ["--prompt", "a", "--prompt", "b"], as: ScoreCommand.self)
        #expect(try command.execute(session, memory.console) == .success)
        #expect(
            session.calls.map(\.op) == [
                "prepare", "score", "prepare", "score", "score", "score", "release",
            ])
    }

    @Test func badAndMissingImagesAreToldAndTheOthersScored() throws {
        let good = try folder.write("good.png", [4])
        let bad = try folder.write("bad.png", [13])
        let missing = folder.path + "/missing.png"
        let session = ScriptedSession(answer: scores)
        let command = try parse(
            "score", bad, missing, good, "--prompt", "a", "--format", "json",
            as: ScoreCommand.self)
        #expect(try command.execute(session, memory.console) == .someItemsFailed)
        #expect(session.calls.first?.inputs.count == 2)
        let document = try JSONValue.parse(memory.output.text)
        let images = try #require(document["images"]?.arrayValue)
        #expect(images.map { $0["path"]?.stringValue } == [bad, missing, good])
        #expect(images[0]["error"]?["code"] == "bad_image")
        #expect(images[0]["scores"] == nil)
        #expect(images[1]["error"]?["code"] == "unreadable_file")
        #expect(images[2]["scores"] == [1.0])
        #expect(document["model"] == "m" && document["fingerprint"] == "f00d")
        let lines = memory.errors.text.split(separator: "\n").map(String.init)
        #expect(lines.contains("guidanced: \(bad): image: not a PNG"))
        #expect(lines.contains("guidanced: \(missing): No such file or directory"))
    }

    @Test func whenNothingIsLeftTheStatusIsTheReason() throws {
        let bad = try folder.write("bad.png", [13])
        let command = try parse("score", bad, "--prompt", "a", as: ScoreCommand.self)
        #expect(
            try command.execute(ScriptedSession(answer: scores), memory.console) == .badData)
        #expect(memory.output.text.isEmpty)
        let none = try parse("score", "/none.png", "--prompt", "a", as: ScoreCommand.self)
        let session = ScriptedSession(answer: scores)
        #expect(try none.execute(session, memory.console) == .noInput)
        #expect(session.calls.isEmpty)
    }

    @Test func aRefusedRequestIsThrown() throws {
        let files = try files(2)
        let session = ScriptedSession { _ in
            throw WireFault(.promptTooLong, "too long", field: "params.prompts[0]")
        }
        let command = try parse(["score"] + files + ["--prompt", "a"], as: ScoreCommand.self)
        let error = try #require(throws: WireFault.self) {
            try command.execute(session, memory.console)
        }
        #expect(CommandStatus(error) == .badData)
    }

    @Test func rankMergesTheChunks() throws {
        let order: [UInt8] = [3, 9, 1, 9, 0]
        let files = try order.enumerated().map { try folder.write("\($0).png", [$1]) }
        let session = ScriptedSession(batchSize: 2) { call in
            guard call.op == "rank" else {
                return .scripted(result: ["handle": "h"])
            }
            #expect(call.params["top_k"] == nil)
            let scored = call.inputs.enumerated().map { ($0, Double($1.frame.array[0]) / 8) }
                .sorted { $0.1 > $1.1 }
            return .scripted(
                result: [
                    "ranking": .array(
                        scored.map { ["index": .integer($0), "score": .number($1)] })
                ])
        }
        let command = try parse(
            ["rank"] + files + ["--prompt", "x", "--top", "3", "--format", "csv"],
            as: RankCommand.self)
        #expect(try command.execute(session, memory.console) == .success)
        #expect(
            memory.output.text == """
                rank,image,score
                1,\(files[1]),1.125
                2,\(files[3]),1.125
                3,\(files[0]),0.375

                """)
    }

    @Test(
        arguments: [
            [:], ["ranking": []], ["ranking": [["index": 5, "score": 1]]],
            ["ranking": [["index": 0]]],
        ] as [JSONObject])
    func aRankingThatIsNoneIsRefused(result: JSONObject) throws {
        let files = try files(1)
        let session = ScriptedSession { _ in .scripted(result: result) }
        let command = try parse(["rank"] + files + ["--prompt", "x"], as: RankCommand.self)
        #expect(throws: ReplyError.self) { try command.execute(session, memory.console) }
    }

    @Test func classifyReadsLabelsAndTemplates() throws {
        let files = try files(1)
        let labels = try folder.write("labels", Array("red, dark circle\nblue\n\n".utf8))
        let templates = try folder.write("templates", Array("a {}.\nthe {}\n".utf8))
        let session = ScriptedSession { _ in
            .scripted(
                outputs: [Output(name: "probabilities", shape: [1, 2], values: [0.25, 0.75])])
        }
        func run(_ format: String) throws -> String {
            let memory = MemoryConsole()
            let command = try parse(
                ["classify"] + files
                    + ["--labels-file", labels, "--templates", templates, "--format", format],
                as: ClassifyCommand.self)
            #expect(try command.execute(session, memory.console) == .success)
            return memory.output.text
        }
        let csv = try run("csv")
        #expect(session.calls[0].params["labels"] == ["red, dark circle", "blue"])
        #expect(session.calls[0].params["templates"] == ["a {}.", "the {}"])
        #expect(
            csv == "image,best,\"red, dark circle\",blue\n\(files[0]),blue,0.25,0.75\n")
        let table = try run("table")
        #expect(table.contains("blue   75.0  red, dark circle  25.0"))
        let document = try JSONValue.parse(try run("json"))
        #expect(document["images"]?.arrayValue?[0]["best"] == "blue")
    }

    @Test func embedPutsTextsAndImagesInOrder() throws {
        let image = try folder.write("i.png", [7])
        let session = ScriptedSession { call in
            if call.op == "embed_image" {
                return .scripted(
                    outputs: [Output(name: "embeddings", shape: [1, 2], values: [7, 8])])
            }
            #expect(call.params["normalize"] == true)
            return .scripted(
                outputs: [
                    Output(name: "embeddings", shape: [2, 2], values: [1, 2, .nan, .nan])
                ], items: [ItemFault(index: 1, error: WireFault(.promptTooLong, "long"))])
        }
        let file = folder.path + "/e.npy"
        let command = try parse(
            "embed", "--text", "a", "--image", image, "--text", "b", "--out", file,
            as: EmbedCommand.self)
        #expect(try command.execute(session, memory.console) == .someItemsFailed)
        let bytes = try InputFile.read(file, limit: 10_000)
        #expect(bytes == NPY.encode([1, 2, 7, 8, .nan, .nan], shape: [3, 2]))
        #expect(memory.errors.text == "guidanced: text \"b\": long\n")
        #expect(memory.output.bytes.isEmpty)
    }

    @Test func tokenizeShowsIdsAndWhatWasDropped() throws {
        let session = ScriptedSession { _ in
            .scripted(
                result: [
                    "tokens": [[1, 5, 2], [1, 2]],
                    "dropped": [
                        ["tokens": 0, "text": ""], ["tokens": 3, "text": "rest of it"],
                    ],
                ])
        }
        let command = try parse("tokenize", "x", "y", as: TokenizeCommand.self)
        #expect(try command.execute(session, memory.console) == .success)
        #expect(memory.output.text.contains("x          3  1 5 2\n"))
        #expect(memory.errors.text.contains("text 2: 3 tokens dropped: \"rest of it\""))
    }

    @Test func modelsMarksTheDefault() throws {
        let session = ScriptedSession { _ in
            .scripted(
                result: [
                    "models": [
                        [
                            "name": "a", "fingerprint": "0123456789abcdef0123",
                            "precision": "f32",
                            "vision": [
                                "embedding_width": 8, "width": 16, "layers": 2, "image_size": 32,
                                "patch_size": 8,
                            ],
                        ]
                    ], "default_model": "a",
                ])
        }
        let command = try parse("models", as: ModelsCommand.self)
        #expect(try command.execute(session, memory.console) == .success)
        #expect(memory.output.text.contains("a *"))
        #expect(memory.output.text.contains("0123456789abcdef "))
        #expect(memory.output.text.contains("32 px, patch 8, 2 × 16"))
        #expect(memory.output.text.contains("none"))
    }
}
