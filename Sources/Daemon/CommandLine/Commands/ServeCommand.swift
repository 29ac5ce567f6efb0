package import ArgumentParser
import Encoders
import Glibc
import Logging
package import Serving
import System

package struct ServeCommand: ParsableCommand {
    package static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Run the daemon.",
        usage: "guidanced serve \(SettingTable.usage) [--config FILE] [--log-level LEVEL]",
        discussion: """
            Listens at ipc://$XDG_RUNTIME_DIR/guidanced.sock, or where that is unset at \
            ipc:///tmp/guidanced-UID.sock, and serves the built-in model unless told otherwise. \
            The control endpoint answers while the others are saturated; by default it is the \
            socket's path with .control appended. SIGTERM and SIGINT finish accepted work and \
            stop; a second SIGINT stops at once. --config reads a JSON file (docs/command-line.md has \
            its keys and the variables of the environment); flags win over the environment, and \
            that over the file.

            Example:
              guidanced serve --bind ipc:///run/g.sock --model b32=checkpoints/vit-b-32
            """)

    @OptionGroup package var settings: SettingOptions

    @Option(
        help: ArgumentHelp("A configuration file.", valueName: "file"),
        completion: .file(extensions: ["json"]))
    package var config: String?

    @Option(help: "The least severe lines that the log on standard error shows.")
    package var logLevel: LogThreshold = .info

    package init() {}

    /// The severities that a log can begin with.
    package enum LogThreshold: String, CaseIterable, Sendable, ExpressibleByArgument {
        case debug, info, warning, error

        fileprivate var level: Logger.Level {
            switch self {
            case .debug: .debug
            case .info: .info
            case .warning: .warning
            case .error: .error
            }
        }
    }

    /// Flags over environment over file over defaults.
    package func resolved(
        environment: (String) -> String? = Environment.text
    ) throws -> ServeConfiguration {
        var stated = try settings.settings()
            .merged(over: try ServeSettings(environment: environment))
        if let config {
            let bytes = try InputFile.read(config, limit: ServeSettings.longestFile)
            stated = stated.merged(over: try ServeSettings.parse(bytes, path: config))
        }
        return try ServeConfiguration(
            resolving: stated, environment: .current, availableThreads: AvailableThreads.current)
    }

    package func run() throws {
        try CommandRunner.run { _ in
            let configuration = try resolved()
            var log = Logger(label: "guidanced") { label in
                StreamLogHandler.standardError(label: label)
            }
            log.logLevel = logLevel.level
            try configuration.instructions?.choose()
            try Service(configuration, log: log).run()
            return .success
        }
    }
}
