/// Element types of the Open Inference Protocol; the raw values are the wire's names.
public enum Datatype: String, CaseIterable, Sendable {
    case fp32 = "FP32"
    case fp16 = "FP16"
    case bf16 = "BF16"
    case uint8 = "UINT8"
    case int32 = "INT32"
    case int64 = "INT64"
    /// One opaque value of any length, such as an encoded image file; it has no shape.
    case bytes = "BYTES"

    /// Bytes an element; `nil` for `BYTES`.
    public var size: Int? {
        switch self {
        case .fp32, .int32: 4
        case .fp16, .bf16: 2
        case .uint8: 1
        case .int64: 8
        case .bytes: nil
        }
    }
}

/// What a header says about one tensor frame.
public struct TensorHeader: Equatable, Sendable {
    public var name: String
    public var datatype: Datatype
    /// Extents, outermost first, C order; empty for `BYTES` (and for a scalar in a reply).
    public var shape: [Int]
    /// The media type of a `BYTES` frame, such as `image/png`, where the sender gave one.
    public var contentType: String?

    public init(name: String, datatype: Datatype, shape: [Int], contentType: String? = nil) {
        self.name = name
        self.datatype = datatype
        self.shape = shape
        self.contentType = contentType
    }

    /// The length that the frame must have: shape × size; `nil` for `BYTES` and on overflow.
    public var byteCount: Int? {
        guard let size = datatype.size else { return nil }
        var total = size
        for extent in shape {
            let (product, overflow) = total.multipliedReportingOverflow(by: extent)
            if overflow || extent < 0 { return nil }
            total = product
        }
        return total
    }
}

/// One tensor of a message: its declaration and its bytes (little-endian, C order, no padding).
public struct Tensor: Sendable {
    public var header: TensorHeader
    public var frame: Frame

    public init(_ header: TensorHeader, _ frame: Frame) {
        self.header = header
        self.frame = frame
    }

    /// An FP32 tensor; `values` holds as many elements as `shape` says.
    public init(name: String, shape: [Int], values: [Float]) {
        self.init(TensorHeader(name: name, datatype: .fp32, shape: shape), Frame(values))
    }

    /// A `BYTES` tensor, such as an encoded image file.
    public init(name: String, bytes: [UInt8], contentType: String? = nil) {
        self.init(
            TensorHeader(name: name, datatype: .bytes, shape: [], contentType: contentType),
            Frame(bytes))
    }
}

/// A tensor of a request. Its frame was checked against its header before a handler sees it.
public typealias Input = Tensor

/// A tensor of a reply.
public typealias Output = Tensor
