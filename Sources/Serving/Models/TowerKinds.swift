package import JSON

/// Sides of a model: what a request needs, and what is ready.
package struct TowerKinds: OptionSet, Sendable, Hashable {
    package let rawValue: Int

    package init(rawValue: Int) { self.rawValue = rawValue }

    /// The text towers, all of a pipeline's.
    package static let text = TowerKinds(rawValue: 1)
    /// The image tower.
    package static let image = TowerKinds(rawValue: 2)

    /// By the names that `models` has for the towers' sizes.
    package var names: JSONValue {
        let all: [(kind: TowerKinds, name: JSONValue)] = [(.text, "text"), (.image, "vision")]
        return .array(all.filter { contains($0.kind) }.map(\.name))
    }
}
