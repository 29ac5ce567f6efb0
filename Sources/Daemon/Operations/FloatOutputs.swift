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
}

extension Output {
    /// A float tensor in the datatype asked for; narrowing rounds to nearest even.
    init(
        name: String, shape: [Int], values: [Float], datatype: OutputDatatype
    ) throws(WireFault) {
        precondition(shape.reduce(1, *) == values.count, "a tensor's values fill its shape")
        self = try TensorEncoding.tensor(
            name: name, shape: shape, values: values, as: datatype.datatype)
    }
}

extension Frame {
    /// A copy of some of the frame's bytes.
    func bytes(_ range: Range<Int>) -> [UInt8] {
        withUnsafeBytes { Array($0[range]) }
    }
}
