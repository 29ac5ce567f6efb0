/// The order of the calls that send one message of several frames.
///
/// A message that is left open would take the next one's frames as its own, so whatever happens it is
/// closed: every frame is made before the first is sent, and if one cannot be sent after all, an
/// empty last frame ends the message. Its reader finds a frame missing, and nobody else's reply.
package enum MultipartSend {
    package enum Outcome: Equatable {
        case sent
        /// Nothing was sent.
        case failedBefore(index: Int)
        /// The message was begun, and closed short.
        case failedAt(index: Int)
    }

    /// - Parameters:
    ///   - count: frames of the message.
    ///   - make: makes a frame ready; whether it could.
    ///   - send: sends a frame, and says whether more follow; whether it could.
    ///   - close: sends an empty last frame.
    ///   - discard: lets go of frames that were made and not sent.
    package static func run(
        count: Int, make: (Int) -> Bool, send: (_ index: Int, _ hasMore: Bool) -> Bool,
        close: () -> Void, discard: (Range<Int>) -> Void
    ) -> Outcome {
        for index in 0..<count where !make(index) {
            discard(0..<index)
            return .failedBefore(index: index)
        }
        for index in 0..<count where !send(index, index + 1 < count) {
            // The first frame that fails leaves nothing behind: the message was not begun.
            if index > 0 { close() }
            discard(index..<count)
            return index == 0 ? .failedBefore(index: 0) : .failedAt(index: index)
        }
        return .sent
    }
}
