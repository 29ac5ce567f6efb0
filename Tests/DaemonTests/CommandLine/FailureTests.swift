import ArgumentParser
import Daemon
import Encoders
import IPC
import Serving
import Testing

@Suite struct FailureTests {
    private static func status(_ code: ErrorCode) -> CommandStatus {
        CommandStatus(WireFault(code, "x"))
    }

    @Test func everyWireCodeHasAStatus() {
        let expected: [ErrorCode: CommandStatus] = [
            .unsupportedVersion: .otherProtocol, .badRequest: .usage, .unknownOp: .otherProtocol,
            .unknownModel: .usage, .badTensor: .badData, .badImage: .badData,
            .tooLarge: .badData, .promptTooLong: .badData, .overloaded: .tryAgain,
            .deadlineExceeded: .tryAgain, .cancelled: .tryAgain, .shuttingDown: .unavailable,
            .unauthorized: .noPermission, .internal: .internalFault,
        ]
        for code in ErrorCode.allCases {
            #expect(FailureTests.status(code) == expected[code], "\(code)")
            #expect(CommandStatus(ClientError.refused(WireFault(code, "x"))) == expected[code])
        }
    }

    @Test func otherErrorsHaveStatuses() {
        let expected: [(any Error, CommandStatus)] = [
            (ClientError.timeout(op: "a", endpoint: "b", milliseconds: 1), .tryAgain),
            (ClientError.malformedReply("x"), .otherProtocol),
            (ClientError.transport(.system(call: "a", reason: "b")), .unavailable),
            (TransportError.endpoint("a", reason: "b"), .unavailable),
            (NoDaemon(endpoint: "ipc:///a", reason: "b"), .unavailable),
            (EncoderError.file(path: "a", reason: "b"), .noInput),
            (EncoderError.image(expected: "a", actual: "b"), .badData),
            (
                EncoderError.tensor(path: "a", name: "b", expected: "c", actual: "d"), .badData
            ),
            (EncoderError.promptTooLong(tokens: 1, limit: 2, excess: ""), .badData),
            (InputFileError.unreadable(path: "a", reason: "b"), .noInput),
            (InputFileError.tooLarge(path: "a", limit: 1), .badData),
            (InputFileError.malformed(path: "a", reason: "b"), .badData),
            (OutputError.failed(name: "a", reason: "b"), .cannotWrite),
            (OutputError.binaryToTerminal, .cannotWrite),
            (UsageError("a"), .usage), (ValidationError("a"), .usage),
            (ReplyError("a"), .otherProtocol),
            (ConfigurationError(.flags, "a", expected: "b", actual: "c"), .usage),
            (ConfigurationError(.file("f"), "a", expected: "b", actual: "c"), .configuration),
            (CancellationError(), .internalFault),
        ]
        for (error, status) in expected { #expect(CommandStatus(error) == status, "\(error)") }
    }

    @Test(arguments: [
        ("model", "--model"), ("params.metric", "--metric"), ("params.top_k", "--top"),
        ("params.prompts[0]", "prompt 1"), ("params.texts[41]", "text 42"),
        ("params.prompt", "--prompt"), ("params.labels[2]", "label 3"),
        ("params.datatype", "datatype"), ("params.x[y]", "x[y]"), ("params.[", "["),
    ])
    func fieldsAreNamedAsOnTheCommandLine(field: String, place: String) {
        #expect(FailureText.place(of: field) == place)
    }

    @Test func fieldsOfFramesAreLeftOut() {
        #expect(FailureText.place(of: "inputs[0].shape") == nil)
        #expect(FailureText.place(of: "") == nil)
    }

    @Test func textsSayWhatToDo() {
        #expect(
            FailureText.text(
                WireFault(.overloaded, "256 requests wait", retryAfterMilliseconds: 40))
                == "the daemon is overloaded: 256 requests wait; try again in 40 ms")
        #expect(
            FailureText.text(WireFault(.promptTooLong, "too many", field: "params.prompts[1]"))
                == "prompt 2: too many")
        #expect(
            FailureText.text(NoDaemon(endpoint: "ipc:///a", reason: "nobody"))
                .contains("guidanced serve --bind ipc:///a"))
    }
}
