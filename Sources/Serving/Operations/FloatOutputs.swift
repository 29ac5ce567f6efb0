import IPC

/// The datatypes in which float results can be asked for.
enum OutputDatatype: String, CaseIterable, Sendable {
    case fp32 = "FP32"
    case fp16 = "FP16"
    case bf16 = "BF16"

    var datatype: Datatype {
        switch self {
        case .fp32: .fp32
        case .fp16: .fp16
        case .bf16: .bf16
        }
    }

    /// The first magnitude that becomes infinite when it is rounded to this datatype.
    private var firstInfinite: Float {
        switch self {
        case .fp32: .infinity
        // Half an ulp above the greatest number: ties go to the even one, which is infinite.
        case .fp16: 65_520
        case .bf16: Float(bitPattern: 0x7f7f_8000)
        }
    }

    /// Checks that a result stays a finite number in this datatype.
    ///
    /// - Throws: `bad_request` naming the datatype for a value beyond its range, `internal` for one
    ///   that is NaN or infinite before it is converted.
    func check(_ values: [Float], named name: String) throws(WireFault) {
        let largest = values.withUnsafeBufferPointer { buffer in
            // Magnitudes are in the order of their bits, NaN behind infinity.
            buffer.reduce(UInt32(0)) { max($0, $1.bitPattern & 0x7fff_ffff) }
        }
        guard largest >= firstInfinite.bitPattern else { return }
        let value = Float(bitPattern: largest)
        guard value.isFinite else {
            throw WireFault(
                .internal,
                "\"\(name)\": expected finite numbers, found "
                    + (value.isNaN ? "NaN" : "an infinite one"))
        }
        throw .parameter(
            "datatype", expected: "one that holds \"\(name)\" (FP32)",
            actual: "\(rawValue), and a value of magnitude \(value)")
    }

    /// How many values are not 0 and become 0 in this datatype.
    func vanishing(_ values: [Float]) -> Int {
        // Half the least subnormal: ties go to the even one, which is 0.
        guard self == .fp16 else { return 0 }
        return values.count { $0 != 0 && abs($0) <= 0x1p-25 }
    }
}

extension Output {
    /// A float tensor in the datatype asked for; narrowing rounds to nearest even.
    ///
    /// - Throws: as `OutputDatatype.check`.
    init(
        name: String, shape: [Int], values: [Float], datatype: OutputDatatype
    ) throws(WireFault) {
        try datatype.check(values, named: name)
        try self.init(unchecked: name, shape: shape, values: values, datatype: datatype)
    }

    /// One row an item, [N] and then `shape`; items that failed are NaN.
    ///
    /// - Parameter rows: checked already (`ItemRows`), so that a row which cannot be sent is that item's
    ///   fault.
    init(
        name: String, shape: [Int], rows: [[Float]?], datatype: OutputDatatype
    ) throws(WireFault) {
        let size = shape.reduce(1, *)
        var values: [Float] = []
        values.reserveCapacity(rows.count * size)
        for row in rows {
            if let row { values += row } else { values += repeatElement(.nan, count: size) }
        }
        try self.init(
            unchecked: name, shape: [rows.count] + shape, values: values, datatype: datatype)
    }

    private init(
        unchecked name: String, shape: [Int], values: [Float], datatype: OutputDatatype
    ) throws(WireFault) {
        precondition(shape.reduce(1, *) == values.count, "a tensor's values fill its shape")
        self = try TensorEncoding.tensor(
            name: name, shape: shape, values: values, as: datatype.datatype)
    }
}

/// Results of items on their way into the reply: what the datatype cannot hold is that item's fault.
struct ItemRows<Value: Sendable> {
    /// `nil` where the item failed.
    private(set) var values: [Value?]
    private(set) var faults: [ItemFault] = []

    /// - Parameter check: throws when the reply cannot hold an item's numbers.
    init(
        _ results: [Result<Value, WireFault>?], check: (Value) throws(WireFault) -> Void
    ) {
        values = []
        values.reserveCapacity(results.count)
        for (index, result) in results.enumerated() {
            do throws(WireFault) {
                guard let result else {
                    throw WireFault(.internal, "the item was not processed")
                }
                let value = try result.get()
                try check(value)
                values.append(value)
            } catch {
                values.append(nil)
                faults.append(ItemFault(index: index, error: error))
            }
        }
    }
}

extension ItemRows<[Float]> {
    /// Rows of one output.
    init(_ results: [Result<[Float], WireFault>?], _ datatype: OutputDatatype, named name: String) {
        self.init(results) { row throws(WireFault) in try datatype.check(row, named: name) }
    }

    /// The output [N] and then `shape`.
    func output(
        _ name: String, _ shape: [Int], _ datatype: OutputDatatype
    ) throws(WireFault) -> Output {
        try Output(name: name, shape: shape, rows: values, datatype: datatype)
    }
}

extension Frame {
    /// A copy of some of the frame's bytes.
    func bytes(_ range: Range<Int>) -> [UInt8] {
        withUnsafeBytes { Array($0[range]) }
    }
}
