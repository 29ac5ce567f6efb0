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

    /// Stages in pairs: `prepare` for each image of a window, then the tower's `work` on them.
    ///
    /// - Parameter preparationBytes: memory that an image takes while it is prepared.
    func stages(
        preparationBytes: @escaping @Sendable (_ item: Int) -> Int,
        prepare: @escaping @Sendable (_ item: Int, _ worker: Worker) throws(WireFault) -> Ready,
        work: any GroupWork
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
            return [preparation, WorkPlan.Stage([(work, first..<first + count)])]
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
