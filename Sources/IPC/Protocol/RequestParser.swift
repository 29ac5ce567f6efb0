import JSON

/// A message that is no acceptable request, with what could be read of it.
struct RequestRefusal: Error {
    /// `nil` when the message could not be parsed as far as its id.
    var id: String?
    var op: String?
    var fault: WireFault
    var warnings: [String] = []
}

/// Turns the frames of a message into a checked `Request`.
struct RequestParser {
    let limits: Limits

    private static let fields: Set<String> = [
        "id", "op", "model", "deadline_ms", "priority", "params", "inputs",
    ]
    static let longestDeadline = 86_400_000
    static let priorities = -100...100
    /// How much of a header that is too long is searched for its id.
    static let scannedBytes = 4096

    /// Splits the routing envelope from the message: everything up to and including the first
    /// empty frame, as REQ sockets (one empty frame) and REQ sockets with correlation (a number,
    /// then an empty frame) send it. A message that starts with a protocol name has none.
    static func split(_ frames: [Frame]) -> (envelope: [Frame], message: ArraySlice<Frame>) {
        let longestEnvelope = 8
        if let first = frames.first, !isProtocolName(first) {
            for index in frames.indices.prefix(longestEnvelope) where frames[index].count == 0 {
                return (Array(frames[...index]), frames[(index + 1)...])
            }
        }
        return ([], frames[...])
    }

    private static func isProtocolName(_ frame: Frame) -> Bool {
        frame.count == 4 && frame.withUnsafeBytes { $0.starts(with: "GD".utf8) }
    }

    /// - Parameters:
    ///   - message: the frames after the envelope.
    ///   - droppedFrames: how many more there were, which the transport did not keep.
    func parse(
        _ message: ArraySlice<Frame>, droppedFrames: Int, from client: ClientAddress,
        isControl: Bool, now: UInt64
    ) -> Result<Request, RequestRefusal> {
        var refusal = RequestRefusal(fault: WireFault(.badRequest, ""))
        do throws(WireFault) {
            let header = try parseHeader(message, refusal: &refusal)
            refusal.id = try parseID(header)
            // From here on every failure is answered under this id.
            let request = try parseRequest(
                header, tensors: message.dropFirst(2), droppedFrames: droppedFrames,
                client: client, isControl: isControl, now: now, refusal: &refusal)
            return .success(request)
        } catch {
            refusal.fault = error
            return .failure(refusal)
        }
    }

    private func parseHeader(
        _ message: ArraySlice<Frame>, refusal: inout RequestRefusal
    ) throws(WireFault) -> JSONObject {
        let spoken = WireProtocol.versions.joined(separator: ", ")
        guard let magic = message.first else {
            throw WireFault(.unsupportedVersion, "expected \(spoken) in frame 0, found no frame")
        }
        guard magic.withUnsafeBytes({ $0.elementsEqual(WireProtocol.magic) }) else {
            let found = magic.withUnsafeBytes { bytes in
                bytes.allSatisfy { (0x20..<0x7f).contains($0) } && bytes.count <= 16
                    ? "\"\(String(decoding: bytes, as: UTF8.self))\"" : "\(bytes.count) bytes"
            }
            throw WireFault(.unsupportedVersion, "expected \(spoken) in frame 0, found \(found)")
        }
        guard let frame = message.dropFirst().first else {
            throw WireFault(.badRequest, "expected a header in frame 1, found no frame")
        }
        if frame.count > limits.headerBytes {
            identify(frame, before: RequestParser.scannedBytes, &refusal)
            throw WireFault(
                .tooLarge,
                "the header is \(frame.count) bytes; at most \(limits.headerBytes) are accepted")
        }
        do throws(HeaderFault) {
            return try frame.jsonObject()
        } catch {
            identify(frame, before: error.offset, &refusal)
            throw error.fault
        }
    }

    /// Notes the id and the operation, as far as they stand before an offset.
    private func identify(_ frame: Frame, before offset: Int, _ refusal: inout RequestRefusal) {
        let scan = frame.withUnsafeBytes { bytes in
            HeaderScan(UnsafeRawBufferPointer(rebasing: bytes.prefix(offset)))
        }
        guard let id = scan.id, (1...limits.idBytes).contains(id.utf8.count) else { return }
        refusal.id = id
        if let op = scan.op, op.utf8.count <= limits.nameBytes { refusal.op = op }
    }

    private func parseID(_ header: JSONObject) throws(WireFault) -> String {
        guard let id = header["id"]?.stringValue, (1...limits.idBytes).contains(id.utf8.count)
        else {
            throw WireFault(
                .badRequest,
                "expected a string of 1…\(limits.idBytes) bytes, found \(header["id"].summary)",
                field: "id")
        }
        return id
    }

    private func parseRequest(
        _ header: JSONObject, tensors: ArraySlice<Frame>, droppedFrames: Int,
        client: ClientAddress, isControl: Bool, now: UInt64, refusal: inout RequestRefusal
    ) throws(WireFault) -> Request {
        guard let op = header["op"]?.stringValue, (1...limits.nameBytes).contains(op.utf8.count)
        else {
            throw WireFault(
                .badRequest, "expected an operation's name, found \(header["op"].summary)",
                field: "op")
        }
        refusal.op = op
        var warnings = Warnings()
        defer { refusal.warnings = warnings.list }
        for key in header.keys where !RequestParser.fields.contains(key) {
            warnings.addUnknownField(key.clipped)
        }
        var model: String?
        if let given = header[present: "model"] {
            guard let name = given.stringValue, (1...limits.nameBytes).contains(name.utf8.count)
            else {
                throw WireFault(
                    .badRequest, "expected a model's name, found \(given.summary)",
                    field: "model")
            }
            model = name
        }
        var params = JSONObject()
        if let given = header[present: "params"] {
            guard let object = given.objectValue else {
                throw WireFault(
                    .badRequest, "expected an object, found \(given.summary)", field: "params")
            }
            params = object
        }
        let deadline = try parseDeadline(header)
        let priority = try parsePriority(header)
        let inputs = try parseInputs(
            header, tensors: tensors, droppedFrames: droppedFrames, warnings: &warnings)
        return Request(
            client: client, id: refusal.id ?? "", op: op, model: model,
            deadlineMilliseconds: deadline, priority: priority, params: params, inputs: inputs,
            warnings: warnings.list, receivedAt: now, isControl: isControl)
    }

    private func parseDeadline(_ header: JSONObject) throws(WireFault) -> Int? {
        guard let given = header[present: "deadline_ms"] else { return nil }
        guard let value = given.doubleValue, value > 0,
            value <= Double(RequestParser.longestDeadline)
        else {
            throw WireFault(
                .badRequest,
                "expected milliseconds above 0, at most \(RequestParser.longestDeadline), "
                    + "found \(given.summary)", field: "deadline_ms")
        }
        return Int(value.rounded(.up))
    }

    private func parsePriority(_ header: JSONObject) throws(WireFault) -> Int {
        guard let given = header[present: "priority"] else { return 0 }
        guard let value = given.intValue, RequestParser.priorities.contains(value) else {
            throw WireFault(
                .badRequest,
                "expected an integer of \(RequestParser.priorities.lowerBound)…"
                    + "\(RequestParser.priorities.upperBound), found \(given.summary)",
                field: "priority")
        }
        return value
    }

    private func parseInputs(
        _ header: JSONObject, tensors: ArraySlice<Frame>, droppedFrames: Int,
        warnings: inout Warnings
    ) throws(WireFault) -> [Input] {
        var entries: [JSONValue] = []
        if let given = header[present: "inputs"] {
            guard let array = given.arrayValue else {
                throw WireFault(
                    .badRequest, "expected an array, found \(given.summary)", field: "inputs")
            }
            entries = array
        }
        let (sum, overflow) = tensors.count.addingReportingOverflow(droppedFrames)
        let frameCount = overflow ? Int.max : sum
        if max(entries.count, frameCount) > limits.inputs {
            throw WireFault(
                .tooLarge,
                "\(entries.count) inputs and \(frameCount) tensor frames; a request may have "
                    + "\(limits.inputs)", field: "inputs")
        }
        if entries.count != frameCount {
            // The first input without a frame, or the list that is too short.
            let field = entries.count > frameCount ? "inputs[\(frameCount)]" : "inputs"
            throw WireFault(
                .badTensor,
                "expected \(entries.count) tensor frames, one for each input, "
                    + "found \(frameCount)", field: field)
        }
        let bytes = tensors.reduce(0) { $0 + $1.count }
        if bytes > limits.requestBytes {
            throw WireFault(
                .tooLarge,
                "the tensors are \(bytes) bytes; a request may have \(limits.requestBytes)",
                field: "inputs")
        }
        var inputs: [Input] = []
        for (index, (entry, frame)) in zip(entries, tensors).enumerated() {
            let header = try TensorHeader(
                entry, in: .inputs, at: index, limits: limits, warnings: &warnings)
            try header.check(frame, in: .inputs, at: index, limits: limits)
            inputs.append(Input(header, frame))
        }
        return inputs
    }
}

/// Why a frame is no header, and the offset before which it is well-formed.
struct HeaderFault: Error {
    let fault: WireFault
    let offset: Int
}

extension Frame {
    /// The frame as the JSON object that a header is.
    func jsonObject() throws(HeaderFault) -> JSONObject {
        let parsed: Result<JSONValue, JSONError> = withUnsafeBytes { bytes in
            do throws(JSONError) {
                return .success(try JSONValue.parse(bytes))
            } catch {
                return .failure(error)
            }
        }
        switch parsed {
        case .failure(let error):
            throw HeaderFault(
                fault: WireFault(.badRequest, "the header is no JSON: \(error)"),
                offset: error.offset)
        case .success(.object(let object)): return object
        case .success(let value):
            throw HeaderFault(
                fault: WireFault(
                    .badRequest, "expected a JSON object as the header, found \(value.kind)"),
                offset: 0)
        }
    }
}
