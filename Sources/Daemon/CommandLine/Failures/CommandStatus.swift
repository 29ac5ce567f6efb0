import ArgumentParser
import Encoders
import IPC
import Serving

/// How a command ends, after `sysexits.h`.
package enum CommandStatus: Int32, CaseIterable, Sendable {
    case success = 0
    case someItemsFailed = 1
    case usage = 64
    case badData = 65
    case noInput = 66
    case unavailable = 69
    case internalFault = 70
    case cannotWrite = 73
    case tryAgain = 75
    case otherProtocol = 76
    case noPermission = 77
    case configuration = 78

    package var meaning: String {
        switch self {
        case .success: "done"
        case .someItemsFailed:
            "some items (or checks of verify) failed; the others were done"
        case .usage: "wrong arguments, an unknown model, or a parameter out of range"
        case .badData: "an image or checkpoint that cannot be used, or a prompt that is too long"
        case .noInput: "an input file that is missing or cannot be read"
        case .unavailable: "no daemon at the endpoint, or the endpoint cannot be bound"
        case .internalFault: "an internal fault"
        case .cannotWrite: "the output cannot be written"
        case .tryAgain: "the daemon is overloaded or the time was up: try again"
        case .otherProtocol: "the daemon speaks another version of the protocol"
        case .noPermission: "the daemon does not accept this client"
        case .configuration: "a mistake in the configuration file"
        }
    }

    /// The list for `--help`.
    package static var help: String {
        allCases.map { status in
            let code = "\(status.rawValue)"
            return "  " + code + String(repeating: " ", count: 4 - code.count) + status.meaning
        }.joined(separator: "\n")
    }
}

extension CommandStatus {
    /// The one place where errors become exit statuses.
    package init(_ error: any Error) {
        self =
            switch error {
            case let error as WireFault: CommandStatus(error.code)
            case let error as ClientError: CommandStatus(error)
            case let error as EncoderError: CommandStatus(error)
            case let error as InputFileError: error.isContentAtFault ? .badData : .noInput
            case is OutputError: .cannotWrite
            case is NoDaemon, is TransportError: .unavailable
            case is ReplyError: .otherProtocol
            case is ValidationError, is UsageError: .usage
            case let error as ConfigurationError:
                if case .file = error.origin { .configuration } else { .usage }
            default: .internalFault
            }
    }

    private init(_ code: ErrorCode) {
        self =
            switch code {
            case .badRequest, .unknownModel: .usage
            case .badTensor, .badImage, .tooLarge, .promptTooLong: .badData
            case .overloaded, .deadlineExceeded, .cancelled: .tryAgain
            case .shuttingDown: .unavailable
            case .unsupportedVersion, .unknownOp: .otherProtocol
            case .unauthorized: .noPermission
            case .internal: .internalFault
            }
    }

    private init(_ error: ClientError) {
        self =
            switch error {
            case .refused(let fault): CommandStatus(fault.code)
            case .timeout: .tryAgain
            case .malformedReply: .otherProtocol
            case .transport: .unavailable
            }
    }

    private init(_ error: EncoderError) {
        self =
            switch error {
            case .file: .noInput
            case .malformed, .tensor, .configuration, .image, .text, .tooLarge, .promptTooLong,
                .unsupported:
                .badData
            }
    }
}
