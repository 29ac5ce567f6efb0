import Encoders
import IPC

/// The images of a request, numbered in frame order, decoded one at a time where they are used.
struct RequestImages: Sendable {
    private enum Source: Sendable {
        /// An encoded file.
        case file(Frame)
        /// UINT8 [H, W, channels] from `offset` in the frame.
        case bytes(Frame, offset: Int, height: Int, width: Int, channels: Int)
        /// Floats [3, H, W] from `offset` in the frame.
        case floats(Frame, FloatFormat, offset: Int, height: Int, width: Int)
    }

    /// One image, ready for a tower's preprocessing.
    enum Image: Sendable {
        case decoded(DecodedImage)
        /// [3, H, W], nominally 0…1, all finite.
        case floats([Float], height: Int, width: Int)
    }

    /// An image's size, and what it takes to decode it.
    struct Size: Equatable, Sendable {
        let height: Int
        let width: Int
        let decodedBytes: Int

        var pixels: Int { height * width }
        /// As floats [3, H, W].
        var floatBytes: Int { 12 * pixels }
    }

    private let sources: [Source]
    private let remarks: ImageRemarks
    var count: Int { sources.count }
    /// What is unusual about the images, after all of them were read.
    var warnings: [String] { remarks.warnings }

    /// What the headers of a message and of its files tell: how many images there are and how many
    /// pixels they have. Of what is malformed or over an image's own limits nothing is counted: it is
    /// refused before it takes anything.
    static func totals(of inputs: [Input]) -> (count: Int, pixels: Int) {
        var totals = (count: 0, pixels: 0)
        for input in inputs {
            let shape = input.header.shape
            let images: Int
            let size: (height: Int, width: Int)
            switch input.header.datatype {
            case .bytes:
                guard let header = header(of: input.frame) else {
                    totals.count += 1
                    continue
                }
                (images, size) = (1, (header.height, header.width))
            case .uint8 where shape.count == 4: (images, size) = (shape[0], (shape[1], shape[2]))
            case .fp32, .fp16, .bf16:
                guard shape.count == 4 else { continue }
                (images, size) = (shape[0], (shape[2], shape[3]))
            default: continue
            }
            // The frame is as long as its shape says, so that these products fit.
            totals.count += images
            totals.pixels += images * size.height * size.width
        }
        return totals
    }

    private static func header(of file: Frame) -> PNGDecoder.Header? {
        file.withUnsafeBytes { try? PNGDecoder.checkHeader($0) }
    }

    /// `nil` for a file that is none, or too large.
    func size(_ index: Int) -> Size? {
        switch sources[index] {
        case .file(let frame):
            RequestImages.header(of: frame).map {
                // As it is in the file, and as RGB.
                Size(
                    height: $0.height, width: $0.width,
                    decodedBytes: $0.width * $0.height * ($0.bytesPerPixel + 3))
            }
        case .bytes(_, _, let height, let width, let channels):
            Size(height: height, width: width, decodedBytes: height * width * (channels + 3))
        case .floats(_, _, _, let height, let width):
            Size(height: height, width: width, decodedBytes: 12 * height * width)
        }
    }

    /// Memory that an image takes while it is made ready for a tower.
    func preparationBytes(_ index: Int, asFloats: Bool) -> Int {
        guard let size = size(index) else { return 0 }
        if case .floats = sources[index] { return size.floatBytes }
        return size.decodedBytes + (asFloats ? size.floatBytes : 0)
    }

    /// Lays out the items; nothing is decoded yet.
    ///
    /// - Throws: `bad_tensor` naming the input whose datatype or shape is no image's, `too_large`
    ///   for too many images, `bad_request` for none.
    init(_ inputs: [Input], limit: Int) throws(WireFault) {
        var sources: [Source] = []
        for (index, input) in inputs.enumerated() {
            let header = input.header
            let shape = header.shape
            switch header.datatype {
            case .bytes:
                sources.append(.file(input.frame))
            case .uint8:
                guard shape.count == 4, shape[3] == 3 || shape[3] == 4 else {
                    throw RequestImages.fault(header, index, "[N, H, W, 3] or [N, H, W, 4]")
                }
                let stride = shape[1] * shape[2] * shape[3]
                for item in 0..<shape[0] {
                    sources.append(
                        .bytes(
                            input.frame, offset: item * stride, height: shape[1],
                            width: shape[2], channels: shape[3]))
                }
            case .fp32: try RequestImages.append(input, index, .fp32, to: &sources)
            case .fp16: try RequestImages.append(input, index, .fp16, to: &sources)
            case .bf16: try RequestImages.append(input, index, .bf16, to: &sources)
            case .int32, .int64:
                throw WireFault(
                    .badTensor,
                    "\"\(header.name)\": expected an image datatype (BYTES, UINT8, FP32, "
                        + "FP16, BF16), found \(header.datatype.rawValue)",
                    field: "inputs[\(index)].datatype")
            }
            if sources.count > limit {
                throw WireFault(
                    .tooLarge, "expected at most \(limit) images, found more",
                    field: "inputs")
            }
        }
        if sources.isEmpty {
            throw WireFault(
                .badRequest, "expected at least one image, found none",
                field: "inputs")
        }
        self.sources = sources
        remarks = ImageRemarks(count: sources.count)
    }

    /// Adds the items of a float tensor [N, 3, H, W].
    private static func append(
        _ input: Input, _ index: Int, _ format: FloatFormat, to sources: inout [Source]
    ) throws(WireFault) {
        let shape = input.header.shape
        guard shape.count == 4, shape[1] == 3 else {
            throw fault(input.header, index, "[N, 3, H, W]")
        }
        let stride = 3 * shape[2] * shape[3] * format.size
        for item in 0..<shape[0] {
            sources.append(
                .floats(
                    input.frame, format, offset: item * stride, height: shape[2],
                    width: shape[3]))
        }
    }

    private static func fault(_ header: TensorHeader, _ index: Int, _ expected: String) -> WireFault
    {
        WireFault(
            .badTensor,
            "\"\(header.name)\": expected \(header.datatype.rawValue) images of shape "
                + "\(expected), found \(header.shape)",
            field: "inputs[\(index)].shape")
    }

    /// Decodes one image.
    ///
    /// - Throws: `bad_image` or `too_large` for this item alone.
    func load(_ index: Int) throws(WireFault) -> Image {
        do throws(EncoderError) {
            switch sources[index] {
            case .file(let frame):
                return .decoded(
                    try frame.withUnsafeBytes { bytes throws(EncoderError) in
                        let image = try PNGDecoder.decode(bytes, limits: ImageLimits())
                        remarks.look(at: bytes, item: index)
                        return image
                    })
            case .bytes(let frame, let offset, let height, let width, let channels):
                let bytes = frame.bytes(offset..<offset + height * width * channels)
                return .decoded(
                    channels == 3
                        ? try DecodedImage(rgb: bytes, height: height, width: width)
                        : try DecodedImage(rgba: bytes, height: height, width: width))
            case .floats(let frame, let format, let offset, let height, let width):
                let end = offset + 3 * height * width * format.size
                let floats = try frame.withUnsafeBytes { bytes throws(EncoderError) in
                    try PixelConversions.planes(
                        UnsafeRawBufferPointer(rebasing: bytes[offset..<end]), format: format,
                        height: height, width: width)
                }
                remarks.look(at: floats, item: index)
                return .floats(floats, height: height, width: width)
            }
        } catch {
            throw WireFault(error)
        }
    }

    /// One image as floats [3, H, W] in 0…1, for gradients.
    func loadFloats(
        _ index: Int, for side: ImageSide
    ) throws(WireFault) -> (pixels: [Float], height: Int, width: Int) {
        switch try load(index) {
        case .floats(let pixels, let height, let width):
            return (pixels, height, width)
        case .decoded(let image):
            return (image.unitPlanes(side.preprocessing.profile), image.height, image.width)
        }
    }
}
