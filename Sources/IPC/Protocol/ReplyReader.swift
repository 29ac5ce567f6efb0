import JSON

/// Reads the header of a reply, field by field.
struct ReplyReader {
    let header: JSONObject
    let limits: Limits

    func reply(tensors: ArraySlice<Frame>) throws(WireFault) -> Reply {
        let status = try parseStatus()
        var reply = Reply(
            id: try string("id"), op: try string("op"), status: status,
            model: try string("model"), fingerprint: try string("fingerprint"))
        if let result = header[present: "result"] {
            guard let object = result.objectValue else {
                throw mismatch("result", "an object", result)
            }
            reply.result = object
        }
        reply.outputs = try parseOutputs(tensors)
        reply.items = try array("items").enumerated().map { (index, item) throws(WireFault) in
            try parseItem(item, place: "items[\(index)]")
        }
        if status == .error {
            reply.error = try parseFault(header[present: "error"], place: "error")
        }
        if let timing = header[present: "timing"] {
            guard let queue = timing["queue_ms"]?.doubleValue,
                let compute = timing["compute_ms"]?.doubleValue
            else { throw mismatch("timing", "queue_ms and compute_ms", timing) }
            reply.timing = Timing(queueMilliseconds: queue, computeMilliseconds: compute)
        }
        reply.warnings = try array("warnings").map { (warning) throws(WireFault) in
            guard let text = warning.stringValue else {
                throw mismatch("warnings", "strings", warning)
            }
            return text
        }
        return reply
    }

    private func mismatch(_ field: String, _ expected: String, _ value: JSONValue?) -> WireFault {
        WireFault(.badRequest, "expected \(expected), found \(value.summary)", field: field)
    }

    private func string(_ field: String) throws(WireFault) -> String? {
        guard let value = header[present: field] else { return nil }
        guard let text = value.stringValue else { throw mismatch(field, "a string", value) }
        return text
    }

    private func array(_ field: String) throws(WireFault) -> [JSONValue] {
        guard let value = header[present: field] else { return [] }
        guard let elements = value.arrayValue else { throw mismatch(field, "an array", value) }
        return elements
    }

    private func parseStatus() throws(WireFault) -> ReplyStatus {
        guard let name = header["status"]?.stringValue, let status = ReplyStatus(rawValue: name)
        else { throw mismatch("status", "ok, partial or error", header["status"]) }
        return status
    }

    private func parseOutputs(_ tensors: ArraySlice<Frame>) throws(WireFault) -> [Output] {
        let entries = try array("outputs")
        guard entries.count == tensors.count else {
            throw WireFault(
                .badTensor, "expected \(entries.count) output frames, found \(tensors.count)",
                field: "outputs")
        }
        var warnings = Warnings()
        var outputs: [Output] = []
        for (index, (entry, frame)) in zip(entries, tensors).enumerated() {
            let header = try TensorHeader(
                entry, in: .outputs, at: index, limits: limits, warnings: &warnings)
            try header.check(frame, in: .outputs, at: index, limits: limits)
            outputs.append(Output(header, frame))
        }
        return outputs
    }

    private func parseItem(_ item: JSONValue, place: String) throws(WireFault) -> ItemFault {
        guard let index = item["index"]?.intValue, index >= 0 else {
            throw mismatch("\(place).index", "an item's number", item["index"])
        }
        return ItemFault(
            index: index, error: try parseFault(item["error"], place: "\(place).error"))
    }

    private func parseFault(_ value: JSONValue?, place: String) throws(WireFault) -> WireFault {
        guard let object = value?.objectValue, let name = object["code"]?.stringValue,
            let message = object["message"]?.stringValue
        else { throw mismatch(place, "an error with a code and a message", value) }
        // A later minor version may have further codes.
        let code = ErrorCode(rawValue: name)
        return WireFault(
            code ?? .internal, code == nil ? "\(name): \(message)" : message,
            field: object[present: "field"]?.stringValue,
            retryAfterMilliseconds: object[present: "retry_after_ms"]?.intValue)
    }
}
