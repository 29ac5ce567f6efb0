package import IPC

/// What a request will take, as far as the headers of its message and of its files tell.
package struct Expense: Equatable, Sendable {
    /// Memory that the request's frames hold.
    package var inputBytes: Int
    /// Of all images, decoded.
    package var pixels: Int
    /// Of the reply's outputs.
    package var replyBytes: Int

    package init(inputBytes: Int = 0, pixels: Int = 0, replyBytes: Int = 0) {
        self.inputBytes = inputBytes
        self.pixels = pixels
        self.replyBytes = replyBytes
    }

    static func += (left: inout Expense, right: Expense) {
        left.inputBytes += right.inputBytes
        left.pixels += right.pixels
        left.replyBytes += right.replyBytes
    }

    static func -= (left: inout Expense, right: Expense) {
        left.inputBytes -= right.inputBytes
        left.pixels -= right.pixels
        left.replyBytes -= right.replyBytes
    }
}

extension Scheduler {
    package struct Limits: Sendable {
        /// Admitted and unanswered requests.
        package var requests: Int
        /// Bytes that their frames hold together.
        package var bytes: Int
        /// Pixels of their images together.
        package var pixels = 1 << 32
        /// Bytes of their replies' outputs together.
        package var replyBytes = 2 << 30
        /// Pixels of one request's images: 16 of the largest.
        package var requestPixels = 1 << 30
        /// Bytes of one reply's outputs: room for the gradient of one image of the largest size.
        package var requestReplyBytes = 1 << 30
        /// Bytes that large pieces of work (an image while it is decoded or resized, a group's
        /// gradients) may take at a time; one alone may take more.
        package var workBytes = 1 << 30
        /// How long a group that is not full waits for items of other requests, in nanoseconds.
        package var batchWait: UInt64 = 0

        package init(requests: Int = 256, bytes: Int = 1 << 30) {
            self.requests = requests
            self.bytes = bytes
        }

        /// Why no request may ask for so much, whatever else is there.
        package func excess(_ expense: Expense) -> WireFault? {
            if expense.pixels > requestPixels {
                return WireFault(
                    .tooLarge,
                    "expected at most \(requestPixels) pixels in all images, found "
                        + "\(expense.pixels): send fewer at once", field: "inputs")
            }
            if expense.replyBytes > requestReplyBytes {
                return WireFault(
                    .tooLarge,
                    "expected a reply of at most \(requestReplyBytes) bytes, found "
                        + "\(expense.replyBytes): ask for less at once")
            }
            return nil
        }

        /// Why a request must wait for others, if it must.
        ///
        /// A single large request is let in when nothing else is there, or it never could be.
        func obstacle(_ expense: Expense, unanswered: Int, _ sum: Expense) -> String? {
            if unanswered >= requests {
                return "\(unanswered) requests are waiting; the limit is \(requests)"
            }
            guard unanswered > 0 else { return nil }
            if sum.inputBytes + expense.inputBytes > bytes {
                return "\(sum.inputBytes) bytes are waiting; the limit is \(bytes)"
            }
            if sum.pixels + expense.pixels > pixels {
                return "images of \(sum.pixels) pixels are waiting; the limit is \(pixels)"
            }
            if sum.replyBytes + expense.replyBytes > replyBytes {
                return "replies of \(sum.replyBytes) bytes are on their way; the limit is "
                    + "\(replyBytes)"
            }
            return nil
        }
    }
}
