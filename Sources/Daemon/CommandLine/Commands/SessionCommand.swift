package import ArgumentParser

/// A command that sends requests to a session.
package protocol SessionCommand: ParsableCommand {
    func open(_ console: Console) throws -> any Session

    /// Does the work and prints the result.
    func execute(_ session: any Session, _ console: Console) throws -> CommandStatus

    /// What can be checked before a model is loaded.
    func prepare() throws
}

extension SessionCommand {
    package func prepare() throws {}

    package func run() throws {
        try CommandRunner.run { console in
            try prepare()
            return try execute(try open(console), console)
        }
    }
}
