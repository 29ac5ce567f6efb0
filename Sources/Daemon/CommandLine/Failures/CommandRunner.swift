import ArgumentParser
import Glibc

/// Runs a command's work and turns its end into an exit status and a line on standard error.
enum CommandRunner {
    static func run(
        _ console: Console = .standard, _ body: (Console) throws -> CommandStatus
    ) throws {
        // A reader that has seen enough (`| head`) must not kill us in the middle of a write.
        signal(SIGPIPE, SIG_IGN)
        let status: CommandStatus
        do {
            status = try body(console)
        } catch OutputError.closed {
            // It was the reader's decision; there is nothing to complain about.
            return
        } catch {
            console.remark(FailureText.text(error))
            throw ExitCode(CommandStatus(error).rawValue)
        }
        if status != .success { throw ExitCode(status.rawValue) }
    }
}
