package import ArgumentParser
import Encoders
import Glibc
import IPC
import JSON
import Serving
import System

package struct BenchCommand: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure how fast a model is on this machine.",
        usage: """
            guidanced bench [--model PATH] [--precision f32|bf16|int8|auto] [--against WHAT] \
            [--work WORK]... [--batch N]... [--rounds N] [--profile] [--format table|json]
            guidanced bench --peak
            """,
        discussion: """
            Works through the daemon's own scheduler on inputs of its own, one warm-up and then \
            --rounds of each kind of work, and prints the rate, latency percentiles, the rate of \
            floating-point operations and its share of what this machine's registers allow, and \
            memory. --against alternates with the same model in another precision, or on openblas. \
            --profile adds where the time goes. `make bench` compares with other programs.

            Example:
              guidanced bench --model checkpoints/vit-b-32 --precision bf16 --against f32
            """)

    @Option(
        help: ArgumentHelp(
            "A checkpoint, or embedded:default (the default).", valueName: "path"),
        completion: .directory)
    package var model: String?

    @Option(help: ArgumentHelp("f32 (the default), bf16, int8 or auto.", valueName: "precision"))
    package var precision = "f32"

    @Option(help: ArgumentHelp("packed (the default) or openblas.", valueName: "backend"))
    package var backend: String?

    @Option(help: ArgumentHelp("Vector instructions; the best by default.", valueName: "set"))
    package var instructions: String?

    @Option(
        help: ArgumentHelp("A precision, or openblas, to alternate with.", valueName: "what"))
    package var against: String?

    @Option(
        help: ArgumentHelp(
            "image, gradient, text, text77 or preprocess; may be repeated (default: all that the "
                + "model can do).", valueName: "work"))
    package var work: [String] = []

    @Option(
        help: ArgumentHelp("Items at a time; may be repeated (default: 1 and 8).", valueName: "n"))
    package var batch: [Int] = []

    @Option(help: ArgumentHelp("Measurements of each (default: 7).", valueName: "n"))
    package var rounds = 7

    @Option(help: ArgumentHelp("Compute threads.", valueName: "n"))
    package var threads: Int?

    @Option(help: ArgumentHelp("A PNG file for preprocess.", valueName: "file"))
    package var image: String?

    @Option(
        name: [.customLong("activation-bytes"), .customLong("activation-budget")],
        help: ArgumentHelp(
            "Memory for the activations that gradients keep.", valueName: "bytes"))
    package var activationBytes: Int?

    @Flag(help: "Print the time of each stage.")
    package var profile = false

    @Flag(help: "Print what the machine's registers allow, as JSON, and do nothing else.")
    package var peak = false

    @Flag(help: "Measure what standard input asks for, a line \"WORK BATCH\" each; JSON lines.")
    package var interactive = false

    @Option(help: "How to print the result.")
    package var format: DocumentFormat = .table

    package init() {}

    package func validate() throws {
        try ConnectionOptions.check(threads, "--threads", SettingRules.threads)
        try ConnectionOptions.check(rounds, "--rounds", 1...10_000)
        for size in batch { try ConnectionOptions.check(size, "--batch", 1...4096) }
        for name in work where BenchmarkWork(rawValue: name) == nil {
            throw ValidationError(
                "--work: expected one of "
                    + BenchmarkWork.allCases.map(\.rawValue).joined(separator: ", ")
                    + ", found \(SettingRules.quoted(name)).")
        }
    }

    package func run() throws {
        try CommandRunner.run { console in
            if let instructions {
                try SettingRules.checkInstructions(instructions, .flags).choose()
            }
            let threads = threads ?? AvailableThreads.current
            if peak {
                try console.print(BenchmarkReport.peak(threads: threads).line())
                return .success
            }
            let start = monotonicNow()
            let bench = try open(precision, backend: backend, threads: threads, console)
            let seconds = Double(monotonicNow() - start) / 1e9
            if interactive {
                try BenchmarkLines(bench: bench, threads: threads, loadSeconds: seconds).serve(
                    console)
                bench.stop()
                return .success
            }
            let other = try against.map { what in
                what == ComputeBackend.openblas.rawValue
                    ? try open("f32", backend: what, threads: threads, console)
                    : try open(what, backend: nil, threads: threads, console)
            }
            let report = try BenchmarkReport(
                bench: bench, other: other,
                works: work.isEmpty
                    ? bench.works : work.compactMap(BenchmarkWork.init(rawValue:)),
                batches: batch.isEmpty ? [1, 8] : batch, rounds: rounds, threads: threads,
                precision: bench.precision, isProfiled: profile)
            bench.stop()
            other?.stop()
            switch format {
            case .table: try console.print(report.text(against: against))
            case .json: try console.print(report.json(against: against).document())
            }
            return .success
        }
    }

    private func open(
        _ precision: String, backend: String?, threads: Int, _ console: Console
    ) throws -> BenchmarkBench {
        let stated = try SettingRules.precisions(
            precision, model: nil, "precision", .flags)
        let options = ComputeOptions(
            precision: stated.precisions[0],
            backend: try backend.map { name throws(ConfigurationError) in
                try SettingRules.checkBackend(name, .flags)
            } ?? .standard)
        var source = try model.map(ModelArgument.parse) ?? .embedded
        source.options = [options]
        let picture = try image.map { try InputFile.read($0, limit: InputFile.largestImage) }
        let loaded = try Progress.track("loading \(source.path)", console: console) { _ in
            try ModelRegistry(sources: [source]).defaultModel
        }
        let budget = activationBytes ?? Engine.defaultActivationBudget
        if work.isEmpty || work.contains(BenchmarkWork.gradient.rawValue) {
            try GradientMemory.check(
                loaded.model, name: loaded.name, threads: threads, budget: budget)
        }
        return BenchmarkBench(
            model: loaded.model, threads: threads, activationBudget: budget,
            picture: picture, isProfiled: profile)
    }
}
