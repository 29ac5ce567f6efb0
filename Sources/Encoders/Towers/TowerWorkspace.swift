/// The memory in which one thread at a time runs a tower over a group of items, allocated once.
///
/// A tower makes workspaces of its own kind and takes no others. Nothing but a tape carries over from
/// one group to the next.
public protocol TowerWorkspace: AnyObject {
    /// Items in the largest group.
    var capacity: Int { get }
    /// The thread's seat while it computes here; helpers of its team then join in.
    var seat: ComputeSeat { get set }
    /// Receives the time of each stage, when set.
    var meter: StageMeter? { get set }
    /// Bytes held now.
    var bytes: Int { get }
}

/// What must agree for two towers to use one workspace: sizes and precision, in a family's own terms.
public struct WorkspaceKind: Hashable {
    private let value: AnyHashable

    package init(_ value: some Hashable) { self.value = AnyHashable(value) }
}

/// Where texts and images of any family end: what a gradient may start from.
public enum TowerOutput: Sendable, Equatable {
    /// One vector an item, in the joint space of texts and images.
    case embedding
    /// The hidden states after this many blocks, [T, W] an item, without the final norm; 0 is what
    /// the first block gets.
    case states(after: Int)
}
