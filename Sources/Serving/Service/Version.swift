/// The version of this build, as `hello`, `status` and `--version` report it.
package enum Version {
    package static let current = "0.1.0"
}
