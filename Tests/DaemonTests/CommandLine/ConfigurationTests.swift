import ArgumentParser
import Daemon
import Encoders
import JSON
import Serving
import System
import Testing

@Suite struct ConfigurationTests {
    private static let defaults = EndpointDefaults(runtimeDirectory: "/run/user/7", userID: 7)

    private static func settings(_ text: String) throws -> ServeSettings {
        try ServeSettings.parse(Array(text.utf8), path: "g.json")
    }

    private static func resolve(_ settings: ServeSettings) throws -> ServeConfiguration {
        try ServeConfiguration(resolving: settings, environment: defaults, availableThreads: 3)
    }

    @Test func everyKeyIsRead() throws {
        let settings = try ConfigurationTests.settings(
            """
            {"bind": ["ipc:///a", "tcp://127.0.0.1:5"], "control": "ipc:///c",
             "models": {"one": "/m/one", "two": "embedded:default"}, "default_model": "two",
             "precision": "f32", "threads": 5, "batch_wait": 250,
             "limits": {"requests": 9, "queued_bytes": 1000,
             "conditioning_cache_bytes": 0, "encoder_variant_bytes": 77},
             "loras": {"ink": "i.safetensors"}, "embeddings": {"<cat>": "c.pt"}}
            """)
        let configuration = try ConfigurationTests.resolve(settings)
        #expect(configuration.endpoints == ["ipc:///a", "tcp://127.0.0.1:5"])
        #expect(configuration.controlEndpoints == ["ipc:///c"])
        #expect(
            configuration.models == [
                ModelRegistry.Source(name: "one", path: "/m/one", options: [Self.options]),
                ModelRegistry.Source(
                    name: "two", path: "embedded:default", options: [Self.options]),
            ])
        #expect(configuration.defaultModel == "two")
        #expect(configuration.threads == 5)
        #expect(configuration.limits.batchWait == 250_000)
        #expect(configuration.limits.requests == 9)
        #expect(configuration.limits.bytes == 1000)
        #expect(configuration.conditioningCacheBytes == 0)
        #expect(configuration.encoderVariantBytes == 77)
        #expect(
            configuration.adapters == [
                Adapters.Source(kind: .lora, name: "ink", path: "i.safetensors"),
                Adapters.Source(kind: .embedding, name: "<cat>", path: "c.pt"),
            ])
    }

    @Test func imageProfilesAreOfAllModelsOrOfOne() throws {
        let configuration = try ConfigurationTests.resolve(
            try ConfigurationTests.settings(
                """
                {"models": {"one": "/m/one", "two": "/m/two"},
                 "image_profile": {"two": "comfy"}}
                """))
        #expect(configuration.models.map(\.imageProfile) == [nil, .comfy])
        let command = try ServeCommand.parse([
            "--model", "one=/m/one", "--model", "two=/m/two", "--image-profile",
            "transformers-torchvision", "--image-profile", "two=open_clip",
        ])
        #expect(
            try ConfigurationTests.resolve(try command.settings.settings()).models.map(
                \.imageProfile)
                == [.transformersTorchvision, .openCLIP])
        for text in ["pil", "three=comfy", "=comfy", "one="] {
            let command = try ServeCommand.parse(["--model", "one=/m", "--image-profile", text])
            #expect(throws: ConfigurationError.self, "\(text)") {
                _ = try ConfigurationTests.resolve(try command.settings.settings())
            }
        }
    }

    @Test func anEmptyFileLeavesTheDefaults() throws {
        let configuration = try ConfigurationTests.resolve(try ConfigurationTests.settings("{}"))
        #expect(configuration.endpoints == ["ipc:///run/user/7/guidanced.sock"])
        #expect(configuration.controlEndpoints == ["ipc:///run/user/7/guidanced.sock.control"])
        var embedded = ModelRegistry.Source.embedded
        embedded.options = [Self.options]
        #expect(configuration.models == [embedded])
        #expect(configuration.defaultModel == nil)
        #expect(configuration.threads == 3)
        #expect(configuration.limits.requests == Scheduler.Limits().requests)
    }

    @Test(arguments: [
        ("{\"bindd\": []}", "bindd"), ("{\"limits\": {\"request\": 1}}", "limits.request"),
        ("{\"bind\": \"ipc:///a\"}", "bind"), ("{\"bind\": []}", "bind"),
        ("{\"bind\": [\"ipc:///a\", 3]}", "bind[1]"), ("{\"bind\": [\"/a/path\"]}", "bind[0]"),
        ("{\"bind\": [\"ipc://\"]}", "bind[0]"), ("{\"control\": \"udp://x\"}", "control"),
        ("{\"control\": null}", "control"), ("{\"models\": []}", "models"),
        ("{\"models\": {}}", "models"), ("{\"models\": {\"a\": 1}}", "models.a"),
        ("{\"models\": {\"a\": \"\"}}", "models.a"),
        ("{\"models\": {\"a b\": \"/x\"}}", "models.a b"),
        ("{\"default_model\": 1}", "default_model"), ("{\"precision\": \"int4\"}", "precision"),
        ("{\"precision\": {\"default\": 1}}", "precision.default"),
        ("{\"backend\": \"mkl\"}", "backend"),
        ("{\"threads\": 0}", "threads"), ("{\"threads\": 1025}", "threads"),
        ("{\"threads\": 1.5}", "threads"), ("{\"threads\": \"2\"}", "threads"),
        ("{\"threads\": 1e300}", "threads"), ("{\"limits\": 3}", "limits"),
        ("{\"limits\": {\"requests\": -1}}", "limits.requests"),
        ("{\"limits\": {\"queued_bytes\": 0}}", "limits.queued_bytes"),
        ("{\"limits\": {\"encoder_variant_bytes\": -1}}", "limits.encoder_variant_bytes"),
        ("{\"loras\": []}", "loras"), ("{\"loras\": {\" a\": \"c\"}}", "loras. a"),
        ("{\"embeddings\": {\"a\": \"\"}}", "embeddings.a"),
        ("[]", ""), ("{", ""), ("", ""), ("{} x", ""),
        ("{\"threads\": 1, \"threads\": 2}", ""),
    ])
    func mistakesNameFileAndField(text: String, field: String) throws {
        let error = try #require(throws: ConfigurationError.self) {
            try ConfigurationTests.settings(text)
        }
        #expect(error.field == field)
        #expect(error.origin == .file("g.json"))
        #expect(error.description.hasPrefix("g.json: "))
        #expect(field.isEmpty || error.description.contains("\"\(field)\""))
        #expect(CommandStatus(error) == .configuration)
    }

    @Test func flagsWinOverTheFile() throws {
        let file = try ConfigurationTests.settings(
            "{\"bind\": [\"ipc:///file\"], \"threads\": 5, \"models\": {\"a\": \"/a\"}}")
        let command = try parse(
            "serve", "--bind", "ipc:///flag", "--model", "b=/b", as: ServeCommand.self)
        let configuration = try ConfigurationTests.resolve(
            try command.settings.settings().merged(over: file))
        #expect(configuration.endpoints == ["ipc:///flag"])
        #expect(configuration.threads == 5)
        #expect(
            configuration.models == [
                ModelRegistry.Source(name: "b", path: "/b", options: [Self.options])
            ])
    }

    /// What `serve` has unless it is told otherwise.
    private static let options = ComputeOptions(gradients: .lazy)

    @Test(arguments: GradientWeights.allCases)
    func gradientsAreFlagAndSetting(_ choice: GradientWeights) throws {
        let command = try ServeCommand.parse(["--gradients", choice.rawValue])
        let flags = try ConfigurationTests.resolve(try command.settings.settings())
        let file = try ConfigurationTests.resolve(
            try ConfigurationTests.settings("{\"gradients\": \"\(choice.rawValue)\"}"))
        for configuration in [flags, file] {
            #expect(configuration.models.allSatisfy { $0.options == [.init(gradients: choice)] })
        }
        #expect(throws: ConfigurationError.self) {
            try ConfigurationTests.resolve(
                try ConfigurationTests.settings("{\"gradients\": \"later\"}"))
        }
    }

    @Test(arguments: [
        ["--bind", "/tmp/x"], ["--bind", "ipc:///a", "--bind", "ipc:///a"],
        ["--bind", "ipc:///a", "--control", "ipc:///a"], ["--control", "x"],
        ["--model", "/path"], ["--model", "=x"], ["--model", "a="], ["--model", "a b=/x"],
        ["--model", "a=/x", "--model", "a=/y"], ["--default-model", "none"],
        ["--precision", "bf8"], ["--precision", "f32,f32"], ["--precision", "none=bf16"],
        ["--precision", "bf16", "--backend", "openblas"], ["--backend", "mkl"],
        ["--instructions", "mmx"], ["--activation-bytes", "0"], ["--activation-budget", "0"],
        ["--batch-wait", "1000001"], ["--threads", "0"], ["--threads", "2000"],
        ["--threads", "two"], ["--requests", "0"],
        ["--queued-bytes", "-"], ["--lora", "ink"], ["--image-profile", "b32=comfy"],
    ])
    func badFlagsAreUsageErrors(arguments: [String]) throws {
        let command = try parse(["serve"] + arguments, as: ServeCommand.self)
        let error = try #require(throws: ConfigurationError.self) { try command.resolved() }
        #expect(CommandStatus(error) == .usage)
        #expect(error.description.hasPrefix("--"))
    }

    @Test func aConfigurationFileIsReadFromDisk() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write("c.json", Array("{\"threads\": 7}".utf8))
        let command = try parse("serve", "--config", file, as: ServeCommand.self)
        #expect(try command.resolved().threads == 7)
        let missing = try parse("serve", "--config", file + "x", as: ServeCommand.self)
        let error = try #require(throws: InputFileError.self) { try missing.resolved() }
        #expect(CommandStatus(error) == .noInput)
    }

    @Test(arguments: [
        ("/run/user/5", "ipc:///run/user/5/guidanced.sock"),
        ("/run/user/5/", "ipc:///run/user/5/guidanced.sock"),
        ("/", "ipc:///guidanced.sock"), ("", "ipc:///tmp/guidanced-5.sock"),
        ("relative", "ipc:///tmp/guidanced-5.sock"), (nil, "ipc:///tmp/guidanced-5.sock"),
    ])
    func defaultEndpoint(folder: String?, expected: String) {
        #expect(EndpointDefaults(runtimeDirectory: folder, userID: 5).endpoint == expected)
    }

    @Test(arguments: [
        (["ipc:///a.sock"], "ipc:///a.sock.control"),
        (["tcp://127.0.0.1:5", "ipc:///b"], "ipc:///b.control"),
        (["tcp://127.0.0.1:5"], "ipc:///run/user/7/guidanced.sock.control"),
        (["ipc://@name"], "ipc://@name.control"),
    ])
    func defaultControlEndpoint(bind: [String], expected: String) {
        #expect(ConfigurationTests.defaults.control(for: bind) == expected)
    }

    /// One word that each setting takes.
    private static let samples = [
        "bind": "ipc:///a", "control": "ipc:///c", "models": "m=/x", "default_model": "m",
        "loras": "ink=/i", "embeddings": "cat=/c", "precision": "bf16", "image_profile": "comfy",
        "backend": "packed", "instructions": "portable", "gradients": "off",
    ]

    @Test func everySettingHasAFlagAKeyAndAVariable() throws {
        for setting in SettingTable.all {
            let declaration = setting.declaration
            let text = Self.samples[declaration.name] ?? "7"
            for flag in [declaration.flag] + declaration.formerFlags {
                let command = try ServeCommand.parse(["--\(flag)", text])
                let byFlag = try command.settings.settings()
                #expect(byFlag != ServeSettings(), "\(flag)")
            }
            let byVariable = try ServeSettings { $0 == declaration.environmentName ? text : nil }
            #expect(byVariable != ServeSettings(), "\(declaration.environmentName)")
            let (name, path) =
                text.split(separator: "=").count == 2
                ? (String(text.prefix { $0 != "=" }), String(text.drop { $0 != "=" }.dropFirst()))
                : ("m", text)
            let value: JSONValue =
                switch declaration.form {
                case .text, .perModel: .string(text)
                case .number: 7
                case .list: [.string(text)]
                case .named: .object([name: .string(path)])
                }
            var document: JSONObject = [declaration.name: value]
            if let section = declaration.section { document = [section: .object(document)] }
            let byKey = try ServeSettings.parse(
                Array(JSONValue.object(document).text().utf8), path: "g.json")
            #expect(byKey != ServeSettings(), "\(declaration.field)")
        }
    }

    @Test func namesAreDeclaredOnce() {
        let declarations = SettingTable.all.map(\.declaration)
        let flags = declarations.flatMap { [$0.flag] + $0.formerFlags }
        #expect(Set(flags).count == flags.count)
        #expect(Set(declarations.map(\.name)).count == declarations.count)
    }

    /// The table in docs/command-line.md is the declarations'.
    @Test func theDocumentationIsTheTable() throws {
        let root = #filePath.split(separator: "/").dropLast(4).reduce("") { $0 + "/" + $1 }
        let text = String(
            decoding: try PipelineFixture.read(root + "/docs/command-line.md"), as: UTF8.self)
        #expect(text.contains(SettingTable.documentation), "paste:\n\(SettingTable.documentation)")
    }

    @Test func flagsWinOverTheEnvironmentAndThatOverTheFile() throws {
        let folder = try TemporaryFolder()
        let file = try folder.write(
            "c.json",
            Array("{\"threads\": 7, \"limits\": {\"requests\": 5, \"queued_bytes\": 9}}".utf8))
        let command = try ServeCommand.parse(["--config", file, "--threads", "3"])
        let environment = [
            "GUIDANCED_THREADS": "4", "GUIDANCED_REQUESTS": "6",
            "GUIDANCED_BIND": "ipc:///one\nipc:///two", "GUIDANCED_LORAS": "",
        ]
        let configuration = try command.resolved { environment[$0] }
        #expect(configuration.threads == 3)
        #expect(configuration.limits.requests == 6)
        #expect(configuration.limits.bytes == 9)
        #expect(configuration.endpoints == ["ipc:///one", "ipc:///two"])
        let error = try #require(throws: ConfigurationError.self) {
            try command.resolved { $0 == "GUIDANCED_THREADS" ? "0" : nil }
        }
        #expect(error.description.hasPrefix("GUIDANCED_THREADS: "))
        #expect(CommandStatus(error) == .usage)
    }
}

@Suite struct AvailableThreadsTests {
    @Test(
        arguments: [
            ("200000 100000\n", 2), ("150000 100000", 2), ("50000 100000\n", 1),
            ("max 100000\n", nil), ("", nil), ("1 0", nil), ("-5 100", nil), ("1 2 3", nil),
            ("9223372036854775807 1", Int.max),
        ] as [(String, Int?)])
    func quotaRoundsUp(text: String, expected: Int?) {
        #expect(ControlGroup.processors(quota: text) == expected)
    }

    @Test func everyGroupAboveCounts() {
        #expect(
            ControlGroup.paths(from: "1:cpu:/x\n0::/a/b\n") == ["/a/b", "/a", ""])
        #expect(ControlGroup.paths(from: "0::/\n") == [""])
        #expect(ControlGroup.paths(from: "") == [])
    }

    @Test(
        arguments: [
            ("Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t0-7\n", Array(0..<8)),
            ("Cpus_allowed:\t80000000,00000001\n", [0, 63]), ("Cpus_allowed:\n", nil), ("", nil),
            ("Cpus_allowed:\tzz\n", nil),
        ] as [(String, [Int]?)])
    func affinityIsRead(text: String, expected: [Int]?) {
        #expect(AvailableThreads.processors(status: text) == expected)
    }

    @Test func threadsOfACoreCountOnce() {
        let siblings = ["0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7"]
        func cores(_ processors: [Int]) -> Int {
            AvailableThreads.cores(of: processors) { $0 < 8 ? siblings[$0] : nil }
        }
        #expect(cores(Array(0..<8)) == 4)
        #expect(cores([0, 4]) == 1)
        #expect(cores([1, 2, 4]) == 3)
        #expect(cores([8, 9]) == 2)
        #expect(cores([]) == 0)
    }

    @Test func thereIsAlwaysAThread() {
        #expect((1...100_000).contains(AvailableThreads.current))
    }
}
