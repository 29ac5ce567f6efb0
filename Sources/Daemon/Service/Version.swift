/// The version of this build, as `hello`, `status` and `--version` report it.
enum Version {
    static let current = "0.1.0"
}
