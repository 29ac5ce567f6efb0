import Encoders
import Glibc
import System

/// Where bytes for people or programs go.
package protocol ByteSink: Sendable {
    /// Whether a person is looking.
    var isTerminal: Bool { get }

    /// Writes all bytes.
    ///
    /// - Throws: `OutputError`.
    func write(_ bytes: [UInt8]) throws(OutputError)
}

/// A command's way to the outside: results to `output`, everything else to `errors`.
package struct Console: Sendable {
    package let output: any ByteSink
    package let errors: any ByteSink

    package init(output: any ByteSink, errors: any ByteSink) {
        self.output = output
        self.errors = errors
    }

    /// Standard output and standard error of this process.
    package static let standard = Console(
        output: DescriptorSink(descriptor: STDOUT_FILENO, name: "standard output"),
        errors: DescriptorSink(descriptor: STDERR_FILENO, name: "standard error"))

    package func print(_ text: String) throws(OutputError) {
        try output.write(Array(PathText.readable(text).utf8))
    }

    /// One remark on standard error; if even that is closed there is nobody left to tell.
    package func remark(_ text: String) {
        try? errors.write(Array("guidanced: \(PathText.readable(text))\n".utf8))
    }

    package func warn(_ text: String) { remark("warning: \(text)") }
}

/// Why something could not be written.
package enum OutputError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The reader at the other end of a pipe has gone.
    case closed
    case failed(name: String, reason: String)
    /// Binary output is not for a terminal.
    case binaryToTerminal

    package var description: String {
        switch self {
        case .closed: "the output was closed by its reader"
        case .failed(let name, let reason): "cannot write \(name): \(reason)"
        case .binaryToTerminal:
            "not writing binary data to a terminal; use --out FILE, or --out - into a pipe"
        }
    }
}

/// An open file descriptor, not owned.
package struct DescriptorSink: ByteSink {
    package let descriptor: Int32
    /// For messages.
    package let name: String

    package init(descriptor: Int32, name: String) {
        self.descriptor = descriptor
        self.name = name
    }

    package var isTerminal: Bool { isatty(descriptor) == 1 }

    package func write(_ bytes: [UInt8]) throws(OutputError) {
        let failure: Int32? = bytes.withUnsafeBytes { buffer in
            var rest = buffer[...]
            while !rest.isEmpty {
                let written = Glibc.write(
                    descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if written >= 0 {
                    rest = rest.dropFirst(written)
                } else if errno == EAGAIN {
                    // Somebody else's non-blocking descriptor: wait until it takes more.
                    var item = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    poll(&item, 1, -1)
                } else if errno != EINTR {
                    return errno
                }
            }
            return nil
        }
        switch failure {
        case nil: return
        case EPIPE: throw .closed
        case .some(let code): throw .failed(name: name, reason: systemReason(code))
        }
    }
}
