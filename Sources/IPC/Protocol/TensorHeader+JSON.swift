import JSON

/// Which list of a header a tensor stands in; the raw value is the field's name.
enum TensorList: String {
    case inputs
    case outputs

    /// Only replies may carry empty tensors and scalars.
    var smallestExtent: Int { self == .inputs ? 1 : 0 }
    var smallestRank: Int { self == .inputs ? 1 : 0 }
}

extension TensorHeader {
    private static let fields: Set<String> = ["name", "datatype", "shape", "content_type"]

    /// Reads one entry of `inputs` or `outputs`.
    ///
    /// - Parameter warnings: gets a sentence for each field that is not known.
    /// - Throws: `bad_tensor`, naming the entry's field.
    init(
        _ value: JSONValue, in list: TensorList, at index: Int, limits: Limits,
        warnings: inout Warnings
    ) throws(WireFault) {
        let place = "\(list.rawValue)[\(index)]"
        guard let entry = value.objectValue else {
            throw WireFault(.badTensor, "expected an object, found \(value.kind)", field: place)
        }
        for key in entry.keys where !TensorHeader.fields.contains(key) {
            warnings.addUnknownField("\(place).\(key.clipped)")
        }
        var name = place
        if let given = entry[present: "name"] {
            guard let text = given.stringValue, text.utf8.count <= limits.nameBytes else {
                throw WireFault(
                    .badTensor,
                    "expected a string of at most \(limits.nameBytes) bytes, "
                        + "found \(given.summary)", field: "\(place).name")
            }
            name = text
        }
        guard let typeName = entry[present: "datatype"]?.stringValue,
            let datatype = Datatype(rawValue: typeName)
        else {
            let known = Datatype.allCases.map(\.rawValue).joined(separator: ", ")
            throw WireFault(
                .badTensor,
                "expected one of \(known), found \(entry[present: "datatype"].summary)",
                field: "\(place).datatype")
        }
        var contentType: String?
        if let given = entry[present: "content_type"] {
            guard let text = given.stringValue, text.utf8.count <= limits.nameBytes else {
                throw WireFault(
                    .badTensor,
                    "expected a string of at most \(limits.nameBytes) bytes, "
                        + "found \(given.summary)", field: "\(place).content_type")
            }
            contentType = text
        }
        let shape = try TensorHeader.shape(
            entry[present: "shape"], of: datatype, in: list, place: "\(place).shape",
            limits: limits)
        self.init(name: name, datatype: datatype, shape: shape, contentType: contentType)
    }

    private static func shape(
        _ value: JSONValue?, of datatype: Datatype, in list: TensorList, place: String,
        limits: Limits
    ) throws(WireFault) -> [Int] {
        if datatype == .bytes {
            // Other systems of this protocol family write the shape of one value as [1].
            guard value == nil || value == [] || value == [1] else {
                throw WireFault(
                    .badTensor,
                    "expected no shape, [] or [1] for BYTES, which is one value a frame, "
                        + "found \(value.summary)", field: place)
            }
            return []
        }
        guard let extents = value?.arrayValue,
            (list.smallestRank...limits.dimensions).contains(extents.count)
        else {
            throw WireFault(
                .badTensor,
                "expected an array of \(list.smallestRank)…\(limits.dimensions) extents, "
                    + "found \(value.summary)", field: place)
        }
        var shape: [Int] = []
        for extent in extents {
            guard let number = extent.intValue, number >= list.smallestExtent,
                number <= Int(Int32.max)
            else {
                throw WireFault(
                    .badTensor,
                    "expected extents of \(list.smallestExtent)…\(Int32.max), "
                        + "found \(extent.summary)", field: place)
            }
            shape.append(number)
        }
        return shape
    }

    /// Checks that a frame is as long as the shape and datatype say.
    ///
    /// - Throws: `bad_tensor` with the expected and the actual length; `too_large` when the shape
    ///   alone says more than `limits.requestBytes`.
    func check(
        _ frame: Frame, in list: TensorList, at index: Int, limits: Limits
    ) throws(WireFault) {
        guard datatype != .bytes else { return }
        let place = "\(list.rawValue)[\(index)]"
        let extents = shape.map(String.init).joined(separator: ", ")
        guard let expected = byteCount else {
            throw WireFault(
                .badTensor, "\(datatype.rawValue) [\(extents)] overflows 64 bits of length",
                field: place)
        }
        if list == .inputs, expected > limits.requestBytes {
            throw WireFault(
                .tooLarge,
                "\(datatype.rawValue) [\(extents)] is \(expected) bytes; a request may have "
                    + "\(limits.requestBytes)", field: place)
        }
        if frame.count != expected {
            throw WireFault(
                .badTensor,
                "\"\(name.clipped)\", \(datatype.rawValue) [\(extents)]: expected a frame of "
                    + "\(expected) bytes, found \(frame.count)", field: place)
        }
    }

    var json: JSONValue {
        var entry = JSONObject([
            ("name", .string(name)), ("datatype", .string(datatype.rawValue)),
        ])
        if datatype != .bytes { entry["shape"] = .array(shape.map { .integer($0) }) }
        if let contentType { entry["content_type"] = .string(contentType) }
        return .object(entry)
    }
}
