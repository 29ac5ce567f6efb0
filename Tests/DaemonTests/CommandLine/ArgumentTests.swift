import ArgumentParser
import Daemon
import Encoders
import Guidance
import Serving
import Testing

/// A command as the program would parse it.
func parse<Command: ParsableCommand>(
    _ arguments: [String], as type: Command.Type
) throws -> Command {
    try #require(try Guidanced.parseAsRoot(arguments) as? Command)
}

func parse<Command: ParsableCommand>(
    _ arguments: String..., as type: Command.Type
) throws -> Command {
    try parse(arguments, as: type)
}

@Suite struct ArgumentTests {
    @Test func scoreTakesImagesAndPrompts() throws {
        let command = try parse(
            "score", "a.png", "--prompt", "x", "b.png", "-p", "y", "--metric", "clipscore",
            "--format", "csv", "--long-prompts", "truncate", as: ScoreCommand.self)
        #expect(command.images == ["a.png", "b.png"])
        #expect(command.prompt == ["x", "y"])
        #expect(command.metric == .clipscore)
        #expect(command.format == .csv)
        #expect(command.prompts.longPrompts == .truncate)
        #expect(command.connection.requestModel == nil)
    }

    @Test func embedKeepsTheOrderOfTextsAndImages() throws {
        for _ in 0..<3 {
            let command = try parse(
                "embed", "--text", "one", "--image", "two.png", "--text", "three", "--text=-four",
                "--image", "five.png", "--text", "six", as: EmbedCommand.self)
            #expect(
                command.items == [
                    .text("one"), .image("two.png"), .text("three"), .text("-four"),
                    .image("five.png"), .text("six"),
                ])
        }
    }

    @Test(arguments: [
        (["--text", "a"], EmbeddingFormat.json), (["--text", "a", "--out", "x.npy"], .npy),
        (["--text", "a", "--out", "x.npy", "--format", "json"], .json),
        (["--text", "a", "--out", "x.json"], .json), (["--text", "a", "--format", "npy"], .npy),
    ])
    func embedFormatFollowsTheFileName(arguments: [String], expected: EmbeddingFormat) throws {
        #expect(try parse(["embed"] + arguments, as: EmbedCommand.self).resolvedFormat == expected)
    }

    @Test func rankTakesATop() throws {
        let command = try parse(
            "rank", "a", "b", "--prompt", "x", "--top", "2", as: RankCommand.self)
        #expect(command.top == 2)
    }

    @Test func gradientTakesNegativeWeights() throws {
        let command = try parse(
            "gradient", "a.png", "--prompt", "x", "--weight", "-0.5", "--prompt", "y", "--weight",
            "2", "--loss", "spherical", "--out", "g.npy", as: GradientCommand.self)
        #expect(command.weight == [-0.5, 2])
        #expect(command.loss == .spherical)
    }

    @Test func classifyTakesLabelsOrAFile() throws {
        let command = try parse(
            "classify", "a", "--labels", "red circle, blue square", as: ClassifyCommand.self)
        #expect(command.labels == "red circle, blue square")
        #expect(command.top == 3)
    }

    @Test func withConnectTheModelIsAName() throws {
        let command = try parse(
            "tokenize", "x", "--connect", "ipc:///a", "--model", "b32", "--timeout", "5",
            as: TokenizeCommand.self)
        #expect(command.connection.requestModel == "b32")
    }

    @Test func modelsTakesSeveral() throws {
        let command = try parse(
            "models", "--model", "a=/x", "--model", "/y/z", as: ModelsCommand.self)
        #expect(command.model == ["a=/x", "/y/z"])
    }

    @Test func verifyTakesAPath() throws {
        let command = try parse("verify", "embedded:default", "--tensors", as: VerifyCommand.self)
        #expect(command.path == "embedded:default" && command.tensors)
    }

    @Test(arguments: [
        (["a", "b"], ["a", "b"]), (["--prompt", "a", "-p", "b"], ["a", "b"]),
        (["--prompt", "b", "a"], ["a", "b"]),
    ])
    func conditionTakesPromptsAsArgumentsAndAsOptions(
        arguments: [String], prompts: [String]
    ) throws {
        let command = try #require(
            try Guidanced.parseAsRoot(["condition"] + arguments) as? ConditionCommand)
        #expect(command.prompts == prompts)
    }

    @Test(arguments: ["heat.png", "HEAT.PNG", "a/b.c.png", "-"])
    func heatMapsAreNamedAsPictures(name: String) throws {
        let command = try parse(
            "gradient", "a", "--prompt", "x", "--heatmap", name, as: GradientCommand.self)
        #expect(command.heatmap == name)
    }

    @Test func serveTakesSeveralEndpoints() throws {
        let command = try parse(
            "serve", "--bind", "ipc:///a", "--bind", "tcp://127.0.0.1:*", "--threads", "3",
            as: ServeCommand.self)
        #expect(command.settings.bind == ["ipc:///a", "tcp://127.0.0.1:*"])
        #expect(command.settings.threads == ["3"])
    }

    @Test(arguments: [
        ["score", "a.png"], ["score", "--prompt", "x"], ["rank", "a.png"],
        ["rank", "a", "--prompt", "x", "--top", "0"], ["embed"], ["embed", "--format", "npy"],
        ["classify", "a"], ["classify", "a", "--labels", "x", "--labels-file", "y"],
        ["classify", "a", "--labels", "x,,y"], ["classify", "a", "--labels", ""],
        ["gradient", "a", "--prompt", "x"], ["gradient", "a", "--out", "g.npy"],
        ["gradient", "a", "--prompt", "x", "--weight", "1", "--weight", "2", "--out", "g"],
        ["gradient", "a", "--prompt", "x", "--weight", "nan", "--out", "g"],
        ["gradient", "a", "--prompt", "x", "--out", "-", "--heatmap", "-"],
        ["gradient", "a", "--prompt", "x", "--loss", "l2", "--out", "g"],
        ["gradient", "a", "--prompt", "x", "--heatmap", "heat"],
        ["gradient", "a", "--prompt", "x", "--heatmap", "heat.npy"],
        ["gradient", "a", "--prompt", "x", "--heatmap", "heat.png.tmp"],
        ["gradient", "a", "--prompt", "x", "--out", "heat.png"],
        ["condition"], ["condition", "--negative", "x"],
        ["tokenize"], ["verify"], ["verify", "a", "b"], ["dance"],
        ["score", "a", "--prompt", "x", "--metric", "euclid"],
        ["score", "a", "--prompt", "x", "--connect"],
        ["score", "a", "--prompt", "x", "--connect", "/run/sock"],
        ["score", "a", "--prompt", "x", "--connect", "ipc:///a", "--threads", "2"],
        ["score", "a", "--prompt", "x", "--connect", "ipc:///a", "--model", "n=/p"],
        ["score", "a", "--prompt", "x", "--timeout", "2"],
        ["score", "a", "--prompt", "x", "--threads", "0"],
        ["score", "a", "--prompt", "x", "--model", ""],
        ["score", "a", "--prompt", "x", "--model", "a b=/p"],
        ["models", "--connect", "ipc:///a", "--model", "x=/y"],
        ["models", "--model", "default=/y"], ["models", "--model", "a=/x", "--model", "a=/y"],
    ])
    func mistakesAreUsageErrors(arguments: [String]) throws {
        let error = try #require(throws: (any Error).self) {
            try Guidanced.parseAsRoot(arguments)
        }
        #expect(Guidanced.exitCode(for: error).rawValue == CommandStatus.usage.rawValue)
    }

    @Test(arguments: [
        ("/m/b-32", "b-32", "/m/b-32"), ("b=/m/x", "b", "/m/x"), ("dir/a=b", "model", "dir/a=b"),
        ("embedded:default", "default", "embedded:default"), ("./x/", "x", "./x/"),
        ("x=embedded:default", "x", "embedded:default"), ("my model", "model", "my model"),
    ])
    func modelArguments(text: String, name: String, path: String) throws {
        #expect(
            try ModelArgument.parse(text) == ModelRegistry.Source(name: name, path: path))
    }

    @Test(arguments: [
        "serve", "embed", "score", "rank", "classify", "gradient", "tokenize", "models", "verify",
    ])
    func helpOfEachCommandHasAnExample(name: String) throws {
        #expect(Guidanced.helpMessage().contains(name))
        let error = try #require(throws: (any Error).self) {
            var command = try Guidanced.parseAsRoot([name, "--help"])
            try command.run()
        }
        let text = Guidanced.fullMessage(for: error)
        #expect(text.contains("Example:"))
        #expect(text.contains("guidanced \(name)"))
        #expect(Guidanced.exitCode(for: error).rawValue == 0)
    }

    @Test func helpListsEveryExitCode() {
        let help = Guidanced.helpMessage(columns: 200)
        for status in CommandStatus.allCases {
            #expect(help.contains("\(status.rawValue) "))
            #expect(help.contains(status.meaning))
        }
    }

    @Test(arguments: [CompletionShell.bash, .zsh, .fish])
    func completionsKnowTheCommands(shell: CompletionShell) {
        let script = Guidanced.completionScript(for: shell)
        #expect(script.contains("classify") && script.contains("heatmap"))
    }
}
