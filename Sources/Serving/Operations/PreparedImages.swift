import Encoders
import IPC

/// Images between their decoding, one an item so that all threads share it, and their tower, which
/// takes them in groups.
///
/// What waits between the two is the tower's input alone, and of a bounded number of images: decoding
/// and encoding alternate.
struct PreparedImages: Sendable {
    struct Ready: Sendable {
        /// The tower's input, [3, S, S].
        let pixels: [Float]
        /// The image's own size.
        let height: Int
        let width: Int
    }

    private let side: ImageSide
    private let slots: Slots<Result<Ready, WireFault>>

    /// Bytes of prepared images that may wait for the tower.
    private static let waitingBytes = 64 << 20

    init(count: Int, side: ImageSide) {
        self.side = side
        slots = Slots(count: count)
    }

    /// Images that are prepared before the tower takes them: whole groups, at least one.
    private var window: Int {
        let size = side.tower.sizes.imageSize
        let group = side.tower.preferredGroup
        return max(1, Self.waitingBytes / (12 * size * size) / group) * group
    }

    /// Stages in pairs: `prepare` for each image of a window, then `run` for groups of them.
    ///
    /// - Parameters:
    ///   - preparationBytes: memory that an image takes while it is prepared.
    ///   - runBytes: memory that an image takes while its group is run, beside the worker's own.
    func stages(
        preparationBytes: @escaping @Sendable (_ item: Int) -> Int,
        runBytes: @escaping @Sendable (_ item: Int) -> Int = { _ in 0 },
        prepare: @escaping @Sendable (_ item: Int, _ worker: Worker) throws(WireFault) -> Ready,
        run: @escaping @Sendable (_ items: Range<Int>, _ worker: Worker) -> Void
    ) -> [WorkPlan.Stage] {
        stride(from: 0, to: slots.count, by: window).flatMap { first -> [WorkPlan.Stage] in
            let count = min(window, slots.count - first)
            let preparation = WorkPlan.Stage(
                itemCount: count, bytes: { preparationBytes(first + $0) }
            ) { item, worker in
                do throws(WireFault) {
                    slots[first + item] = .success(try prepare(first + item, worker))
                } catch {
                    slots[first + item] = .failure(error)
                }
            }
            let tower = WorkPlan.Stage(
                itemCount: count, groupSize: side.tower.preferredGroup,
                bytes: { runBytes(first + $0) }
            ) { items, worker in
                run(first + items.lowerBound..<first + items.upperBound, worker)
            }
            return [preparation, tower]
        }
    }

    /// Hands an image over, and keeps it no longer.
    ///
    /// - Throws: why it could not be prepared.
    func take(_ item: Int) throws(WireFault) -> Ready {
        let slot = slots[item]
        slots[item] = nil
        guard let slot else { throw WireFault(.internal, "the image was not decoded") }
        return try slot.get()
    }
}
