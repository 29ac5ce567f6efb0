import ArgumentParser

@main
struct Guidanced: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "guidanced", abstract: "A diffusion-guidance daemon.")
}
