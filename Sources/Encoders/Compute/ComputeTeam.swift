internal import CKernels

/// Threads that help busy compute threads with the work inside one item, while there are fewer busy
/// ones than places.
///
/// Whoever computes takes a seat first (``sit()``) and hands it to a workspace. Results never depend
/// on who helped.
public final class ComputeTeam: @unchecked Sendable {
    // Invariant: the C team synchronises itself; the pointer never changes and lives until deinit.
    private let team: OpaquePointer?

    /// How many threads may work at once.
    public let places: Int

    /// Starts `places` − 1 helpers; they sleep while nobody is seated.
    public init(places: Int) {
        self.places = max(1, places)
        team = places > 1 ? gk_team_create(places) : nil
    }

    deinit { gk_team_destroy(team) }

    /// Marks the calling thread as busy until ``leave(_:)``.
    public func sit() -> ComputeSeat { ComputeSeat(pointer: gk_team_sit(team)) }

    public func leave(_ seat: ComputeSeat) { gk_team_leave(seat.pointer) }
}

/// A busy thread's seat in a team. Belongs to the thread that took it.
public struct ComputeSeat {
    let pointer: OpaquePointer?

    /// Works alone.
    public static var alone: ComputeSeat { ComputeSeat(pointer: nil) }
}
